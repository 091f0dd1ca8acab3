"""The follower: keeps a guard's knowledge current from the authority's feed, over HTTP, in one daemon thread."""

import contextlib
import logging
import os
import random
import secrets
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Final, final
from urllib.parse import urlencode

import msgspec

from watchword.core.encoding import NotStrict, json_object
from watchword.core.feed import FeedError, Knowledge, Page, fold
from watchword.guard.source import Known, boot_clock
from watchword.transport import Address, Connection, Credentials, Reply, TransportError

MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
MAX_HOLD: Final = 10.0  # seconds; proxies cut what is silent for longer than some tens of seconds
_ANSWER_TIME = 10.0  # seconds that an answer may take beyond the hold
_PAUSES = (0.1, 5.0)  # seconds between attempts: the first after a failure, and the longest
_STOP_TIME = 5.0  # seconds that stop waits for the thread: longer only while a name is being resolved

_log: Final = logging.getLogger("watchword.guard")
_followers: "weakref.WeakSet[Follower]" = weakref.WeakSet()


@final
class Follower:
    """A `Source` over HTTP.

    ``max_staleness`` decides how long it lets the authority hold a request: a quarter of it, 10 seconds at most.
    ``credentials`` is asked in the thread for each connection, so that a secret in a file may change. The constructor
    and `start` do no I/O.
    """

    def __init__(
        self,
        issuer: str,
        address: Address,
        *,
        max_staleness: timedelta,
        credentials: Callable[[], Credentials | None] = lambda: None,
        clock: Callable[[], float] = boot_clock,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._issuer = issuer
        self._address = address
        self._credentials = credentials
        self._staleness = max_staleness.total_seconds()
        self._hold = min(self._staleness / 4, MAX_HOLD)
        self._max_bytes = max_bytes
        self.clock = clock
        self.last_error: str | None = None
        self.known: Known | None = None
        self._draft: Knowledge | None = None  # what is folded so far; a long snapshot is not shown before it is whole
        self._cursor: str | None = None
        self._run: _Run | None = None
        self._lock = threading.Lock()
        self._ready = threading.Event()
        _followers.add(self)

    def start(self) -> None:
        """Begin to follow, unless it does already."""
        with self._lock:
            if self._run is None:
                self._run = _Run(Connection(self._address, max_bytes=self._max_bytes))
                threading.Thread(target=self._follow, args=(self._run,), name="watchword-follower", daemon=True).start()

    def stop(self) -> None:
        """End, although a request may be held by the authority."""
        with self._lock:
            run, self._run = self._run, None
        if run is not None:
            run.stop()
            run.ended.wait(_STOP_TIME)

    def wake(self) -> None:
        """Ask again soon if the last attempt failed; while a request is held, the authority answers it anyway."""
        run = self._run
        if run is not None:
            run.nudged.set()

    def wait(self, timeout: float) -> bool:
        """Block until the first knowledge is there."""
        return self._ready.wait(timeout)

    # -- In the thread

    def _follow(self, run: "_Run") -> None:
        failures = 0
        try:
            while not run.stopping.is_set():
                failures = 0 if self._attempt(run) else failures + 1
                if failures:
                    run.pause(failures)
        finally:
            run.connection.close()
            run.ended.set()

    def _attempt(self, run: "_Run") -> bool:
        """Ask once and take the answer in; False if that brought nothing that can be used."""
        asked = self.clock()
        try:
            page = self._ask(run.connection)
            changed = not run.stopping.is_set() and self._take(page, asked)
        except FeedError as why:
            self._cursor = None
            return self._failed(str(why))
        except (TransportError, OSError, ValueError) as why:
            return run.stopping.is_set() or self._failed(str(why))  # at the end the connection is cut from outside
        if self.last_error is not None:
            self.last_error = None
            _log.info("the feed of %s is followed again", self._issuer)
        if not changed and self.clock() - asked < min(_PAUSES[0], self._hold):
            run.stopping.wait(_PAUSES[0])  # an authority that does not hold must not make us ask in a tight loop
        return True

    def _failed(self, why: str) -> bool:
        if self.last_error is None:  # once for each outage: the attempts that follow say nothing new
            _log.warning("the feed of %s cannot be followed: %s", self._issuer, why)
        self.last_error = why
        return False

    def _ask(self, connection: Connection) -> Page:
        whole = self._draft is None or self._draft.complete
        hold = self._hold if whole and self._cursor is not None else 0.0
        nonce = secrets.token_urlsafe(16)
        query = {"hold": _seconds(hold), "nonce": nonce, "stale": _seconds(self._staleness)}
        if self._cursor is not None:
            query = {"after": self._cursor} | query
        headers = {"Accept": "application/json", "Cache-Control": "no-store"}
        credentials = self._credentials()
        if credentials is not None:
            headers["Authorization"] = credentials.basic
        reply = connection.request(
            "GET", f"/revocations?{urlencode(query)}", headers=headers, seconds=hold + _ANSWER_TIME
        )
        return self._page(reply, nonce)

    def _page(self, reply: Reply, nonce: str) -> Page:
        if reply.status != 200:
            raise TransportError(_complaint(reply))
        if reply.headers.get_all("Watchword-Nonce") != [nonce]:
            raise TransportError("an answer to another request: something between here and the authority keeps copies")
        page = Page.decode(reply.body)
        if page.issuer != self._issuer:
            raise FeedError("the feed of another issuer")
        return page

    def _take(self, page: Page, asked: float) -> bool:
        """Fold a page in, and show what is known if it may be seen; whether it brought anything new."""
        before, shown = self._draft, self.known
        folded = fold(before, page)
        if folded.complete:
            self.known = Known(folded, asked)
            self._ready.set()
        elif shown is not None and before is shown.knowledge and page.after is not None:
            self.known = Known(folded, shown.as_of)  # more cutoffs than before, but dated as before
        self._draft, self._cursor = folded, folded.cursor
        return page.after is None or bool(page.entries) or page.keys is not None

    # -- In a forked child

    def _forked(self) -> None:
        """No thread of the parent runs here, and its locks may be held for ever; its connection is still its own."""
        run, self._run = self._run, None
        self._lock = threading.Lock()
        ready, self._ready = self.known is not None, threading.Event()
        if ready:
            self._ready.set()
        if run is not None:
            run.connection.abandon()
            self.start()


class _Run:
    """One life of the thread: its connection, and how others reach it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.stopping = threading.Event()
        self.nudged = threading.Event()
        self.ended = threading.Event()

    def stop(self) -> None:
        self.stopping.set()
        self.nudged.set()
        self.connection.interrupt()

    def pause(self, failures: int) -> None:
        """Wait before the next attempt, longer each time and never in step with other guards.

        A nudge ends the wait, but not its first part: callers can cause nudges by the thousand.
        """
        first, longest = _PAUSES
        seconds = min(longest, first * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
        self.nudged.clear()
        if not self.stopping.wait(min(first, seconds)):
            self.nudged.wait(max(0.0, seconds - first))


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _complaint(reply: Reply) -> str:
    """The status of an answer, and its code where it has one."""
    code: object = None
    with contextlib.suppress(NotStrict, msgspec.ValidationError):
        code = json_object(reply.body[:10_000]).get("code")
    named = isinstance(code, str) and code.isascii() and code.isidentifier()
    return f"the authority answered {reply.status}" + (f" {code}" if named else "")


def _forked() -> None:
    for follower in list(_followers):
        follower._forked()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forked)
