"""Writers of one process take turns, and those who wait share a commit.

SQLite lets one writer in at a time, and a durable commit takes longer than all that a refresh does before it. So who is
through leaves the transaction to the next who waits, behind a savepoint, and the last one's leaving commits for all.
Nobody is told that it is done before it is on the disk; a commit that fails has failed for all of them.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Final, final

from sqlalchemy.ext.asyncio import AsyncConnection

_MOST: Final = 64  # that share a commit: the first of them waits for the statements of all


@final
class SharedCommits:
    """The turns of one process. ``begin`` opens a transaction that writes; it commits when it is left."""

    def __init__(self, begin: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._begin = begin
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._shared: _Shared | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for one writer; durable once the block is left, undone if the block raises."""
        await self._take()
        try:
            shared = self._shared or self._open()
            opened = shared.opened  # a shield costs as much as a statement, and nearly all find it open
            connection = opened.result() if opened.done() else await asyncio.shield(opened)
            with shared.part(connection):
                yield connection
        finally:
            self._leave()
        await asyncio.shield(shared.committed)

    async def finish(self) -> None:
        """Wait for those who write now and those who wait."""
        while self._shared is not None:
            await asyncio.wait({self._shared.task})

    async def _take(self) -> None:
        if not self._taken:
            self._taken = True
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # the turn was ours already
                self._leave()
            raise

    def _leave(self) -> None:
        """Let the next one in, behind us in the same transaction; or end it, and the turn with it."""
        shared = self._shared
        if shared is not None and (shared.is_full or all(place.done() for place in self._waiting)):
            shared.left.set_result(None)
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._taken = False

    def _open(self) -> "_Shared":
        self._shared = _Shared(self._transaction)
        return self._shared

    async def _transaction(self, shared: "_Shared") -> None:
        """A transaction's whole life: no writer's cancellation ends it."""
        try:
            async with self._begin() as connection:
                shared.opened.set_result(connection)
                await asyncio.shield(shared.left)
                if shared.lost is not None:
                    raise shared.lost
        except Exception as why:  # noqa: BLE001 - those who share it have it
            shared.fail(why)
        except BaseException as why:
            shared.fail(why)
            raise
        else:
            shared.committed.set_result(None)
        finally:
            self._shared = None
            if shared.left.done():
                self._pass_on()


@final
class _Shared:
    """One transaction of several writers, one after the other."""

    def __init__(self, life: Callable[["_Shared"], Coroutine[Any, Any, None]]) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[AsyncConnection] = loop.create_future()
        self.left: asyncio.Future[None] = loop.create_future()
        self.committed: asyncio.Future[None] = loop.create_future()
        self.lost: Exception | None = None
        self.task = loop.create_task(life(self))
        self._writers = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else may come in."""
        return self._writers >= _MOST or self.lost is not None

    @contextmanager
    def part(self, connection: AsyncConnection) -> Iterator[None]:
        """What one writer does: all of it, or nothing."""
        driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
        self._writers += 1
        try:
            driver.run("SAVEPOINT part")
            yield
            driver.run("RELEASE part")
        except BaseException:
            try:
                driver.run("ROLLBACK TO part")
                driver.run("RELEASE part")
            except sqlite3.Error as why:  # after a full disk, say, SQLite has undone everything
                self.lost = why
            raise

    def fail(self, why: BaseException) -> None:
        """Tell all who share it, whether they listen or not."""
        for told in (self.opened, self.committed):
            if not told.done():
                told.set_exception(why)
                told.exception()
