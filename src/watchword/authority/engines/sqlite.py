"""SQLite: one file, one writer at a time, and every commit on the disk."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from watchword.authority.engines.inline import InlineConnection, Row
from watchword.authority.engines.prepared import Prepared
from watchword.authority.engines.shared import SharedCommits

LOCK_SECONDS: Final = 5.0
"""How long a writer waits for one of another process."""
CLOCK: Final = "watchword_now"
"""The SQL function that gives the time, in seconds since 1970."""

_NOT_HELD: Final = (UnicodeEncodeError, OverflowError)


@final
class SqliteEngine:
    """One file behind a pool of connections. ``now`` is its clock, in seconds since 1970."""

    poll_seconds = 0.05  # a command line on the same file moves the log too, and has no way to tell
    failures: tuple[type[Exception], ...] = (sqlite3.Error, *_NOT_HELD)

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._single: InlineConnection | None = None
        # One writer of this process at a time: SQLite's own waiting is a poll that is neither fair nor quick.
        self._writers = SharedCommits(self._transaction)
        self._commits = ThreadPoolExecutor(1, thread_name_prefix="sqlite")

        async def connect(*_: object, **__: object) -> InlineConnection:
            return InlineConnection(path, self._commits, LOCK_SECONDS)

        self._engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}",
            async_creator=connect,
            hide_parameters=True,  # what is bound may be a hash or a wrapped key: neither errors nor logs quote it
            pool_use_lifo=True,  # a connection that was used just now has its pages at hand
        )
        _prepare(self._engine.sync_engine, now)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A snapshot, taken at the first statement."""
        async with self._engine.connect() as connection, connection.begin():
            yield connection

    async def fetch(self, query: Prepared, values: Mapping[str, object]) -> list[Row]:
        """On a connection of its own that begins no transaction: each statement is one."""
        if self._single is None:
            self._single = InlineConnection(self._path, self._commits, LOCK_SECONDS)
            await self._single.create_function(CLOCK, 0, self._now)
        return await self._single.fetch(*query.bound(self._engine.dialect, values))

    def writing(self, *, alone: bool) -> AbstractAsyncContextManager[AsyncConnection]:  # noqa: ARG002 - it always is
        """Alone from its beginning; those who wait for one another share the commit."""
        return self._writers.turn()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection:
            await connection.execution_options(watchword_writing=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """Makes the file, open to its owner only, where it is missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            self._path.touch(mode=0o600)
        async with self.writing(alone=True) as connection:
            yield connection

    async def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    async def check(self) -> None:
        """Each connection sets what it needs; there is nothing that another could have set."""

    async def listen(self, heard: Callable[[], None]) -> None:
        """Nobody tells: the poll finds it."""

    def cannot_hold(self, error: Exception) -> bool:
        """Half a character, or a number of more than 64 bits."""
        return isinstance(error, _NOT_HELD)

    async def dispose(self) -> None:
        """Close all connections, once nobody writes."""
        await self._writers.finish()
        await self._engine.dispose()
        if self._single is not None:
            await self._single.close()
            self._single = None
        self._commits.shutdown(wait=False)

    def __repr__(self) -> str:
        return str(self._path)


def _prepare(engine: Engine, now: Callable[[], float]) -> None:
    """Take the transactions into our own hands: the driver's default gives each SELECT a snapshot of its own."""

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _: object) -> None:
        raw.create_function(CLOCK, 0, now)
        cursor = raw.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writing = connection.get_execution_options().get("watchword_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
