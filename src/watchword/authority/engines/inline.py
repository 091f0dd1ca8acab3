"""SQLite without threads: statements run where they are awaited; only a commit, which waits for the disk, does not.

SQLAlchemy's asynchronous dialect drives aiosqlite, which gives each connection a thread and hands every single call to
it: two dozen hand-overs for a transaction whose statements take some microseconds each. What is here looks to the
dialect like aiosqlite. The price: a statement that takes long would hold up everybody, and the authority has none.
"""

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, final

_PAUSE: Final = 0.002  # seconds between two attempts while another process holds the file's lock
_BUSY: Final = 5  # the low byte of SQLite's result codes that mean "locked by another connection, try again"

Row = Mapping[str, Any]
"""A row's values by the labels of its columns."""


@final
class InlineConnection:
    """One connection to a file, as the dialect wants it. ``patience`` is how long a lock is waited for, in seconds."""

    def __init__(self, path: Path, executor: Executor, patience: float) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        self._executor = executor
        self._patience = patience
        self._changes = 0
        self.isolation_level = None

    def cursor(self) -> "InlineCursor":
        """A new cursor."""
        return InlineCursor(self, self._connection.cursor())

    async def create_function(self, *args: Any, **more: Any) -> None:
        """Give SQL a function of ours."""
        self._connection.create_function(*args, **more)

    async def fetch(self, statement: str, parameters: Sequence[Any]) -> list[Row]:
        """The rows of one statement, none for one that gives none."""
        cursor = self._connection.cursor()
        await self.patiently(partial(cursor.execute, statement, parameters))
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of these."""
        await self.patiently(partial(self._connection.cursor().executemany, statement, parameters))

    def run(self, statement: str) -> None:
        """Run a statement that waits for nothing and gives no rows."""
        self._connection.execute(statement)

    async def commit(self) -> None:
        """Commit; in a thread if there is anything to be written to the disk.

        Python's driver has nothing against committing what SQLite has undone by itself: we have.
        """
        if not self._connection.in_transaction:
            raise sqlite3.OperationalError("the transaction is gone")
        if self._connection.total_changes == self._changes:
            self._connection.commit()
            return
        written = asyncio.get_running_loop().run_in_executor(self._executor, self._connection.commit)
        try:
            await asyncio.shield(written)
        finally:
            if not written.done():  # cancelled: what is being written is waited for all the same
                await asyncio.wait([written])
            self._changes = self._connection.total_changes

    async def rollback(self) -> None:
        """Undo the transaction, if one is under way."""
        self._connection.rollback()
        self._changes = self._connection.total_changes

    async def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def stop(self) -> None:
        """Close the file, whatever is under way."""
        self._connection.close()

    async def patiently(self, attempt: Any) -> None:
        """Try until the lock of another process is gone. A statement that finds one has done nothing yet."""
        end = None
        while True:
            try:
                attempt()
            except sqlite3.OperationalError as why:
                now = time.monotonic()
                end = now + self._patience if end is None else end
                if why.sqlite_errorcode & 0xFF != _BUSY or now >= end:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return


@final
class InlineCursor:
    """A cursor, as the dialect wants it."""

    def __init__(self, connection: InlineConnection, cursor: sqlite3.Cursor) -> None:
        self._connection = connection
        self._cursor = cursor

    @property
    def description(self) -> Any:
        """The columns of the result, or None."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The id of the row inserted last."""
        return self._cursor.lastrowid

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        await self._connection.patiently(lambda: self._cursor.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of these."""
        self._cursor.executemany(statement, parameters)

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return self._cursor.fetchall()

    async def close(self) -> None:
        """Let the result go."""
        self._cursor.close()

    async def __aenter__(self) -> Self:
        return self
