"""Reads pages for all who ask at once, and tells those who wait when the log has moved.

Every answer rests on a database read that began after its request arrived; one read serves all who asked before it
began. A page from memory would look fresher than it is.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from watchword.authority.background import surviving
from watchword.authority.database import Database
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.head import Head, look_at_head
from watchword.authority.log.lost import Lost, Moved, adopt, sound_alarm
from watchword.authority.log.pages import read_page
from watchword.core.feed import Page

_CANCEL_SECONDS: Final = 1.0
_CURSORS: Final = 256  # of all followers' cursors most are the same one


@dataclass(frozen=True, slots=True)
class Read:
    """A page and its encoding, shared by all who asked for it."""

    page: Page
    body: bytes

    @property
    def news(self) -> bool:
        """Whether it tells its reader anything but that there is nothing."""
        return self.page.after is None or bool(self.page.entries)


@final
class LogReader:
    """One for each process: coalesces the reads of all followers and wakes them.

    ``lossless`` says that a standby that took over has all that was acknowledged (synchronous replication).
    """

    def __init__(self, database: Database, issuer: str, cursor_key: bytes, *, lossless: bool = False) -> None:
        self._database = database
        self._issuer = issuer
        self._cursor_key = cursor_key
        self._lossless = lossless
        self._cursors: dict[str, Cursor | None] = {}
        self._boarding: dict[Cursor | None, asyncio.Task[Read]] = {}
        self._flights: set[asyncio.Task[Read]] = set()
        self._next_move = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._last: tuple[str, int] | None = None
        self._ahead = 0.0
        self._wakers: list[Callable[[], None]] = []
        self.moves = 0
        """How often those who wait were woken: another number means that something may have happened."""
        self.alarmed = asyncio.Event()
        """Set when history was found to be lost."""

    def cursor(self, text: str) -> Cursor | None:
        """The place that a cursor's text names, or None."""
        if text not in self._cursors:
            if len(self._cursors) >= _CURSORS:
                self._cursors.clear()
            self._cursors[text] = Cursor.open(text, self._cursor_key)
        return self._cursors[text]

    async def read(self, after: Cursor | None) -> Read:
        """A page as of now: the read begins after this call. Raises `Refused`."""
        flight = self._boarding.get(after)
        if flight is None:
            flight = self._boarding[after] = asyncio.create_task(self._read(after))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)
        return await asyncio.shield(flight)

    def is_last(self, after: Cursor) -> bool:
        """Whether, as far as this process has heard, nothing came after that place."""
        return self._last == (after.epoch, after.number)

    def now(self) -> float:
        """The database's clock, in seconds since 1970, as the latest read lets it be reckoned."""
        return asyncio.get_running_loop().time() + self._ahead

    @property
    def next_move(self) -> asyncio.Event:
        """Set when the log moves next: take it before a read, or what happens meanwhile is missed."""
        return self._next_move

    async def wait(self, move: asyncio.Event, longest: float) -> bool:
        """Wait for a move, at most ``longest`` seconds and not while closing; whether it came."""
        return not self.closing and await _set_within(move, longest)

    def wake(self) -> None:
        """Wake all who wait: something was committed."""
        self.moves += 1
        self._last = None
        self._next_move.set()
        self._next_move = asyncio.Event()
        for waken in self._wakers:
            waken()

    def on_wake(self, waken: Callable[[], None]) -> None:
        """Call this too whenever all who wait are woken."""
        self._wakers.append(waken)

    @property
    def closing(self) -> bool:
        """Whether held answers must be given now, since the process is about to stop."""
        return self._closing.is_set()

    def start(self) -> None:
        """Begin to listen and to look for changes that other processes make."""
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """Stop watching, and let all who wait have their answer.

        Nothing is cancelled: a task that is cancelled while it takes a connection leaves that connection open.
        """
        self.release()
        await asyncio.gather(*self._flights, *self._tasks, return_exceptions=True)

    def release(self) -> None:
        """Answer all who wait, now and from now on."""
        self._closing.set()
        self.wake()

    async def _read(self, after: Cursor | None) -> Read:
        await asyncio.sleep(0)  # all whom the same event woke come aboard
        del self._boarding[after]  # it begins: whoever asks from here on needs a later read
        moves = self.moves
        at, page = await self._page(after)
        self._ahead = at.now - asyncio.get_running_loop().time()
        if moves == self.moves:
            self._last = at.epoch, at.number
        return Read(page, page.encode())

    async def _page(self, after: Cursor | None) -> tuple[Head, Page]:
        try:
            return await read_page(self._database, self._issuer, after, self._cursor_key)
        except Lost as lost:
            if not await self._face(lost):
                raise
            return await read_page(self._database, self._issuer, after, self._cursor_key)

    async def _face(self, lost: Lost) -> bool:
        """Close the feed; or go on, where a server took over that has everything. Whether to read again."""
        async with self._database.writing() as connection:
            if isinstance(lost, Moved) and lost.promoted and self._lossless:
                await adopt(connection, lost)
                return True
            closed = await sound_alarm(connection, lost)
        if closed:
            self.alarmed.set()
        return not closed  # somebody was quicker: what stands now is another matter

    def _landed(self, flight: asyncio.Task[Read]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled():
            flight.exception()  # whoever still waits has it; if nobody does, nobody misses it

    async def _watch(self) -> None:
        """Look at the head for changes that nobody told of."""
        seen: Head | None = None
        while not await _set_within(self._closing, self._database.poll_seconds):
            with surviving("watching the log"):
                at = await look_at_head(self._database)
                if at.alarm is not None:
                    self.alarmed.set()
                if seen is None or not self._is_known(seen, at):
                    self.wake()
                seen = at

    def _is_known(self, seen: Head, at: Head) -> bool:
        """Whether nothing has happened since ``seen``, or nothing but entries that have been read already."""
        if _marks(at) != _marks(seen):
            return False
        return at.number == seen.number or self._last == (at.epoch, at.number)

    async def _listen(self) -> None:
        """Hear at once of changes that other processes make, where the database tells."""
        listening = asyncio.create_task(self._database.listen(self.wake))
        await self._closing.wait()
        while not listening.done():
            listening.cancel()  # and once more, if a driver or Python 3.11's wait_for has swallowed it
            await asyncio.wait({listening}, timeout=_CANCEL_SECONDS)


def _marks(at: Head) -> tuple[object, ...]:
    """What is another once anything has happened that followers should know, but for a new entry."""
    return at.instance, at.epoch, at.floor, at.alarm, at.witness


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
