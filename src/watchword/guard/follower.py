"""The follower: asks the authority's feed over HTTP, in one daemon thread, for what a `Learner` knows."""

import os
import random
import re
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, final
from urllib.parse import urlencode

from watchword.core.feed import FeedError
from watchword.forks import tell_when_forked
from watchword.guard.learner import Learner, Question
from watchword.guard.source import Known, Listeners, boot_clock
from watchword.transport import Address, Connection, Credentials, Reply, TransportError

MAX_PAGE_BYTES: Final = 64 * 1024 * 1024
_CONNECT_TIME = 2.0  # seconds
_PAUSES = (0.1, 5.0)  # seconds between rounds of attempts: the first after a failure, and the longest
_STOP_TIME = 5.0  # seconds that stop waits for the thread: longer only while a name is being resolved

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


@final
class Follower:
    """A `Source` over HTTP.

    ``addresses`` are replicas of one authority. It begins with any of them and stays as long as that one answers; then
    it goes on to the next, at once until all have failed, and after that with a pause between the rounds.
    ``credentials`` is asked in the thread for each request, so that a secret in a file may change. The constructor and
    `start` do no I/O.
    """

    def __init__(
        self,
        issuer: str,
        addresses: Sequence[Address],
        *,
        max_staleness: timedelta,
        credentials: Callable[[], Credentials | None] = lambda: None,
        clock: Callable[[], float] = boot_clock,
        max_bytes: int = MAX_PAGE_BYTES,
    ) -> None:
        self._learner = Learner(issuer, max_staleness=max_staleness, name=_name(), clock=clock)
        self._addresses = addresses
        self._credentials = credentials
        self._max_bytes = max_bytes
        self.clock = clock
        self.known: Known | None = None  # the learner's: each request reads it, and here it costs no call
        self.listeners = Listeners()
        self._run: _Run | None = None
        self._last: _Run | None = None  # the latest, whether it has ended or not
        self._lock = threading.Lock()
        self._ready = threading.Event()
        tell_when_forked(self)

    @property
    def last_error(self) -> str | None:
        """Why the latest attempt to learn failed; None if it did not."""
        return self._learner.last_error

    @property
    def followed(self) -> str | None:
        """The URL that is followed, or tried at this moment; None before the start."""
        run = self._run
        return None if run is None else run.connection.address.url

    def start(self) -> None:
        """Begin to follow, unless it does already."""
        with self._lock:
            if self._run is None:
                self._begin()

    def _begin(self) -> None:
        """A new life of the thread. It waits for the end of the one before, as the learner is for one at a time."""
        before = self._last
        run = _Run([Connection(address, max_bytes=self._max_bytes) for address in self._addresses])
        self._run = self._last = run
        threading.Thread(target=self._follow, args=(run, before), name="watchword-follower", daemon=True).start()

    def expect(self, bound: float) -> None:
        """Decisions rest on knowledge of up to ``bound`` seconds: some of them, from now on."""
        with self._lock:
            run = self._run
            if self._learner.expect(bound) and run is not None:
                run.stop()
                self._begin()

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

    def _follow(self, run: "_Run", before: "_Run | None") -> None:
        failures = 0
        if before is not None:
            before.ended.wait()
        try:
            while not run.stopping.is_set():
                rounds, since = divmod(failures, len(self._addresses))
                if rounds and not since:
                    run.pause(rounds)
                if self._attempt(run, rounds):
                    failures = 0
                else:
                    failures += 1
                    run.move_on()
        finally:
            run.connection.close()
            run.ended.set()

    def _attempt(self, run: "_Run", rounds: int) -> bool:
        """Ask once and take the answer in; False if that brought nothing that can be used."""
        question = self._learner.question(rounds)
        try:
            reply = self._ask(run.connection, question)
        except (TransportError, OSError, ValueError) as why:
            if not run.stopping.is_set():  # at the end the connection is cut from outside
                self._learner.failed(str(why))
            return False
        if run.stopping.is_set():
            return True
        try:
            news = self._learn(question, reply)
        except (FeedError, TransportError):
            return False
        if not news and self.clock() - question.asked < question.pause:
            run.stopping.wait(question.pause)  # an authority that does not hold must not make us ask in a tight loop
        return True

    def _ask(self, connection: Connection, question: Question) -> Reply:
        headers = {"Accept": "application/json", "Cache-Control": "no-store"}
        credentials = self._credentials()
        if credentials is not None:
            headers["Authorization"] = credentials.basic
        path = f"/revocations?{urlencode(question.query)}"
        return connection.request("GET", path, headers=headers, seconds=question.seconds, connect_seconds=_CONNECT_TIME)

    def _learn(self, question: Question, reply: Reply) -> bool:
        nonces = reply.headers.get_all("Watchword-Nonce", [])
        news = self._learner.learn(question, reply.status, nonces, reply.body)
        before, self.known = self.known, self._learner.known
        if self.known is not None:
            self._ready.set()
        self.listeners.tell(before, self.known)
        return news

    # -- In a forked child

    def _forked(self) -> None:
        """No thread of the parent runs here, and its locks may be held for ever; its connection is still its own."""
        run, self._run, self._last = self._run, None, None
        self._learner.name = _name()  # the parent's receipts are its own
        self._lock = threading.Lock()
        self.listeners.clear()
        ready, self._ready = self.known is not None, threading.Event()
        if ready:
            self._ready.set()
        if run is not None:
            run.abandon()
            self.start()


class _Run:
    """One life of the thread: its connections, of which one is in use, and how others reach it."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections
        self._current = random.randrange(len(connections))  # guards that start together spread
        self.stopping = threading.Event()
        self.nudged = threading.Event()
        self.ended = threading.Event()

    @property
    def connection(self) -> Connection:
        return self._connections[self._current]

    def move_on(self) -> None:
        """Go to the next replica, if there is another."""
        if len(self._connections) > 1:
            self.connection.close()
            self._current = (self._current + 1) % len(self._connections)

    def stop(self) -> None:
        self.stopping.set()
        self.nudged.set()
        for connection in self._connections:
            connection.interrupt()

    def abandon(self) -> None:
        for connection in self._connections:
            connection.abandon()

    def pause(self, failures: int) -> None:
        """Wait before the next attempt, longer each time and never in step with other guards.

        A nudge ends the wait, but not its first part: callers can cause nudges by the thousand.
        """
        first, longest = _PAUSES
        seconds = min(longest, first * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
        self.nudged.clear()
        if not self.stopping.wait(min(first, seconds)):
            self.nudged.wait(max(0.0, seconds - first))


def _name() -> str:
    """A name for this process's follower, by which an operator finds it, and nobody else's."""
    host = _NOT_IN_NAMES.sub("-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
