"""Reads pages for all who ask at once, and tells those who wait when the log has moved.

Every answer rests on a database read that began after its request arrived; one read serves all who asked before it
began. A page from memory would look fresher than it is.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

from sqlalchemy import select

from watchword.authority.database import Database
from watchword.authority.log.pages import Cursor, Lost, read_page, sound_alarm
from watchword.authority.schema import head
from watchword.core.feed import Page
from watchword.errors import Refused

POLL_SECONDS: Final = 0.05
"""How often the head is looked at for changes that another process made: what a command line's revocation waits."""


@dataclass(frozen=True, slots=True)
class Read:
    """A page and its encoding, shared by all who asked for it."""

    page: Page
    body: bytes


@final
class LogReader:
    """One for each process: coalesces the reads of all followers and wakes them."""

    def __init__(self, database: Database, issuer: str, cursor_key: bytes) -> None:
        self._database = database
        self._issuer = issuer
        self._cursor_key = cursor_key
        self._boarding: dict[Cursor | None, asyncio.Task[Read]] = {}
        self._flights: set[asyncio.Task[Read]] = set()
        self._next_move = asyncio.Event()
        self._closing = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    def cursor(self, text: str) -> Cursor | None:
        """The place that a cursor's text names, or None."""
        return Cursor.open(text, self._cursor_key)

    async def read(self, after: Cursor | None) -> Read:
        """A page as of now: the read begins after this call. Raises `Refused`."""
        flight = self._boarding.get(after)
        if flight is None:
            flight = self._boarding[after] = asyncio.create_task(self._read(after))
            self._flights.add(flight)
            flight.add_done_callback(self._landed)
        return await asyncio.shield(flight)

    @property
    def next_move(self) -> asyncio.Event:
        """Set when the log moves next: take it before a read, or what happens meanwhile is missed."""
        return self._next_move

    async def wait(self, move: asyncio.Event, longest: float) -> bool:
        """Wait for a move, at most ``longest`` seconds and not while closing; whether it came."""
        return not self.closing and await _set_within(move, longest)

    def wake(self) -> None:
        """Wake all who wait: something was committed."""
        self._next_move.set()
        self._next_move = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether held answers must be given now, since the process is about to stop."""
        return self._closing.is_set()

    def start(self) -> None:
        """Begin to watch for changes that other processes make."""
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching, and let all who wait have their answer.

        Nothing is cancelled: a task that is cancelled while it takes a connection leaves that connection open.
        """
        self.release()
        await asyncio.gather(*self._flights, *filter(None, [self._watcher]), return_exceptions=True)

    def release(self) -> None:
        """Answer all who wait, now and from now on."""
        self._closing.set()
        self.wake()

    async def _read(self, after: Cursor | None) -> Read:
        await asyncio.sleep(0)  # all whom the same event woke come aboard
        del self._boarding[after]  # it begins: whoever asks from here on needs a later read
        try:
            async with self._database.reading() as connection:
                page = await read_page(connection, self._issuer, after, self._cursor_key)
        except Lost as lost:
            async with self._database.writing() as connection:
                await sound_alarm(connection, lost.epoch, lost.detail)
            raise
        return Read(page, page.encode())

    def _landed(self, flight: asyncio.Task[Read]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled():
            flight.exception()  # whoever still waits has it; if nobody does, nobody misses it

    async def _watch(self) -> None:
        seen: tuple[object, ...] | None = None
        while not await _set_within(self._closing, POLL_SECONDS):
            with suppress(Refused):
                async with self._database.reading() as connection:
                    query = select(head.c.epoch, head.c.position, head.c.floor)
                    now = tuple((await connection.execute(query)).one())
                if now != seen:
                    self.wake()
                seen = now


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        return await asyncio.wait_for(event.wait(), seconds)
    return False
