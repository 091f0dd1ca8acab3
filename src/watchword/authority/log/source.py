"""How the authority's own guard follows the log: from the database, without HTTP."""

import asyncio
from typing import Final, final

from watchword.authority.background import surviving
from watchword.authority.log.reader import LogReader
from watchword.core.feed import FeedError, Knowledge, fold
from watchword.errors import Refused
from watchword.guard.source import Known, Listeners, boot_clock

QUIET_SECONDS: Final = 2.0
"""How old a quiet log's knowledge may become before the head is read again."""


@final
class DatabaseSource:
    """A guard's `Source` over the authority's own log; `catch_up` gives read-your-writes within the process."""

    clock = staticmethod(boot_clock)

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self.known: Known | None = None
        self.listeners = Listeners()
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self.last_error: str | None = None

    def start(self) -> None:
        """The authority starts this with `follow`, on its event loop; a guard need not."""

    def stop(self) -> None:
        """The authority stops this with `unfollow`."""

    def wake(self) -> None:
        """A token was ahead of us: look at the log now."""
        self._reader.wake()

    def wait(self, timeout: float) -> bool:  # noqa: ARG002 - the protocol's signature
        """Whether there is a first snapshot; the authority reads it before it listens, so nobody waits."""
        return self.known is not None

    async def catch_up(self) -> None:
        """Know everything that was committed before this call; what fails is kept in ``last_error``."""
        async with self._lock:
            try:
                await self._fold_all()
                self.last_error = None
            except (Refused, FeedError) as why:
                self.last_error = str(why)
            except Exception as bug:
                self.last_error = type(bug).__name__
                raise

    async def follow(self) -> None:
        """Read the first snapshot and go on following."""
        await self.catch_up()
        self._task = asyncio.create_task(self._follow())

    async def unfollow(self) -> None:
        """Wait for the end of following, which comes once the reader closes."""
        if self._task is not None:
            await self._task

    async def _follow(self) -> None:
        while not self._reader.closing:
            move = self._reader.next_move
            with surviving("following the log"):
                await self.catch_up()
            await self._reader.wait(move, QUIET_SECONDS)

    async def _fold_all(self) -> None:
        knowledge: Knowledge | None = self.known.knowledge if self.known else None
        while True:
            as_of = self.clock()
            after = self._reader.cursor(knowledge.cursor) if knowledge else None
            knowledge = fold(knowledge, (await self._reader.read(after)).page)
            if knowledge.complete:
                before, self.known = self.known, Known(knowledge, as_of)
                self.listeners.tell(before, self.known)
                return
