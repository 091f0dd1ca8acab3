"""The fetcher: asks other issuers for their keys over HTTP, each in a daemon thread of its own."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final, final

from watchword.forks import tell_when_forked
from watchword.guard.foreign_keys import MAX_FETCH, ForeignKeys
from watchword.guard.metadata import Resource, jwks_resource, metadata_resources
from watchword.guard.other_issuer import OtherIssuer
from watchword.transport import Connection, Reply, TransportError, locate

MAX_BYTES: Final = 512 * 1024
"""Of metadata or of a JWK Set: with chains of certificates the largest have some tens of thousands."""

_HEADERS: Final = {
    "Accept": "application/json, application/jwk-set+json",
    "Connection": "close",
    "User-Agent": "watchword",  # what names nobody is turned away by the walls of some providers
}
_STILL_THERE: Final = 0.8  # of a refresh, which comes a little early: for so long the keys are where metadata said
_CONNECT_TIME = 2.0  # seconds, of those that a fetch may take in all
_STOP_TIME = 5.0  # seconds that stop waits for the threads: longer only while a name is being resolved
_LONGEST_SLEEP: Final = 30.0  # seconds: a machine that was suspended looks at its clock again

_log: Final = logging.getLogger("watchword.guard")


@final
class KeyFetcher:
    """Keeps the keys of other issuers current, as each one's `ForeignKeys` says when.

    Each has a thread, beside the one that follows the authority: a stranger that is slow makes neither revocations nor
    another stranger's keys late. The constructor and `start` do no I/O.
    """

    def __init__(self, sources: Sequence["KeySource"]) -> None:
        self._sources = sources
        self._runs: list[_Run] = []  # one for each source, or none
        self._last: list[_Run] = []  # the latest, whether they have ended or not
        self._lock = threading.Lock()
        self._tried = threading.Event()
        self._note_tries()
        tell_when_forked(self)

    def start(self) -> None:
        """Begin, unless it has begun already."""
        with self._lock:
            if self._runs:
                return
            before: Sequence[_Run | None] = self._last or [None] * len(self._sources)
            self._last = self._runs = [_Run() for _ in self._sources]
            for arguments in zip(self._sources, self._runs, before, strict=True):
                threading.Thread(target=self._follow, args=arguments, name="watchword-keys", daemon=True).start()

    def stop(self) -> None:
        """End, although issuers may be taking their time."""
        with self._lock:
            runs, self._runs = self._runs, []
        for run in runs:
            run.stop()
        deadline = time.monotonic() + _STOP_TIME
        for run in runs:
            run.ended.wait(deadline - time.monotonic())

    def wake(self) -> None:
        """An issuer's next fetch may be due sooner."""
        for run in self._runs:
            run.nudged.set()

    def wait(self, timeout: float) -> bool:
        """Block until every issuer has been asked once; whether that is so."""
        return self._tried.wait(timeout)

    # -- In a thread

    def _follow(self, source: "KeySource", run: "_Run", before: "_Run | None") -> None:
        if before is not None:
            before.ended.wait()
        try:
            while not run.stopping.is_set():
                run.nudged.clear()
                seconds = source.keys.left
                if seconds > 0:
                    run.nudged.wait(min(seconds, _LONGEST_SLEEP))
                else:
                    source.fetch(run)
                    self._note_tries()
        finally:
            run.ended.set()

    def _note_tries(self) -> None:
        if all(source.keys.tried for source in self._sources):
            self._tried.set()

    # -- In a forked child

    def _forked(self) -> None:
        """No thread of the parent runs here, and its locks may be held for ever; its connections are still its own."""
        runs, self._runs, self._last = self._runs, [], []
        self._lock, self._tried = threading.Lock(), threading.Event()
        self._note_tries()
        for run in runs:
            run.abandon()
        if runs:
            self.start()


@final
class KeySource:
    """Where one issuer's keys are, and what is known of them."""

    def __init__(self, other: OtherIssuer, keys: ForeignKeys) -> None:
        self.keys = keys
        self._issuer = other.issuer
        self._anywhere = other.unsafely_allow_plain_http
        self._named: Resource | None = None
        self._found: Resource | None = None  # by metadata
        self._found_until = 0.0
        self._refresh = other.refresh.total_seconds()
        self._metadata: tuple[Resource, ...] = ()
        if other.jwks is not None:
            self._named = Resource(*locate(other.jwks, plain_http_anywhere=self._anywhere))
        elif other.keys is None:
            self._metadata = metadata_resources(other.issuer, plain_http_anywhere=self._anywhere)

    def fetch(self, run: "_Run") -> None:
        """Ask once, and take the answer in."""
        asked = self.keys.begin()
        try:
            document = self._document(run, asked)
            if not run.stopping.is_set():
                self.keys.learn(document, asked)
        except Exception as why:  # noqa: BLE001 - nothing may end the thread
            self._found_until = 0.0
            if run.stopping.is_set():
                return  # at the end the connection is cut from outside
            if not isinstance(why, TransportError | OSError | ValueError):
                _log.exception("a mistake while the keys of %s were fetched", self._issuer)
            self.keys.fail(str(why) or type(why).__name__)

    def _document(self, run: "_Run", asked: float) -> bytes:
        """The JWK Set as it is published. A fetch that is brought forward does not read the metadata again."""
        deadline = time.monotonic() + MAX_FETCH
        resource = self._named or (self._found if asked < self._found_until else None)
        if resource is None:
            resource = self._found = self._look_up(run, deadline)
            self._found_until = asked + self._refresh * _STILL_THERE
        return _body(run.get(resource, deadline))

    def _look_up(self, run: "_Run", deadline: float) -> Resource:
        """Where the metadata say that the keys are; the second place is asked if there is nothing at the first."""
        first, second = self._metadata
        reply = run.get(first, deadline)
        if 400 <= reply.status < 500:
            reply = run.get(second, deadline)
        return jwks_resource(self._issuer, _body(reply), plain_http_anywhere=self._anywhere)


class _Run:
    """One life of a thread: its connection, and how others reach it."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self.stopping = threading.Event()
        self.nudged = threading.Event()
        self.ended = threading.Event()

    def get(self, resource: Resource, deadline: float) -> Reply:
        """Ask on a connection of its own: there are minutes between two questions."""
        connection = self._connection = Connection(resource.address, max_bytes=MAX_BYTES)
        try:
            if self.stopping.is_set():
                raise TransportError("stopped")
            seconds = max(0.0, deadline - time.monotonic())
            return connection.request(
                "GET", resource.target, headers=_HEADERS, seconds=seconds, connect_seconds=_CONNECT_TIME
            )
        finally:
            self._connection = None
            connection.close()

    def stop(self) -> None:
        self.stopping.set()
        self.nudged.set()
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def abandon(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.abandon()


def _body(reply: Reply) -> bytes:
    if reply.status != 200:
        raise TransportError(f"answered {reply.status}")
    return reply.body
