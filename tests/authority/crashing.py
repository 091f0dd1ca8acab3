"""A process that ends in the middle of a request: before a write, before a commit reaches the database, or after it.

The hooks sit where the drivers are called, so that they see whatever is asked of the database, by whichever way.
"""

import functools
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

_WRITES: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|SELECT pg_notify)\b", re.IGNORECASE)
Drop = Callable[[], None]
_COMMITS: Final = re.compile(r"\bCOMMIT\b", re.IGNORECASE)


class Died(Exception):
    """The process is gone; nothing that the code under test takes for a failure of the database."""


class Crash:
    """Counts the points at which one request may be cut off, and cuts it off at the ``at``-th, from 1; 0 for never.

    By default the connection is dropped there, whatever it was doing, `Died` is raised, and from then on nothing of
    the request reaches the database. ``die`` does something else; it is given what drops the connection.
    """

    def __init__(self, at: int = 0, die: Callable[[Drop], None] | None = None) -> None:
        self._at = at
        self._die = die or self._end
        self._writing = set[int]()
        self.points: list[str] = []
        """What was come by."""
        self.commits = 0
        """How many transactions that wrote anything were committed."""
        self.dead = False

    def before(self, connection: object, statement: str, drop: Drop) -> None:
        """A statement is about to be sent."""
        if self.dead:
            raise Died(statement)
        if _WRITES.match(statement):
            self._writing.add(id(connection))
            self._reach(f"before {statement[:60]}", drop)
        elif _COMMITS.search(statement) and id(connection) in self._writing:
            self._reach("before COMMIT", drop)

    def after(self, connection: object, statement: str, drop: Drop) -> None:
        """It was done."""
        if _COMMITS.search(statement) and id(connection) in self._writing:
            self._writing.remove(id(connection))
            self.commits += 1
            self._reach("after COMMIT", drop)

    def _reach(self, point: str, drop: Drop) -> None:
        self.points.append(point)
        if len(self.points) == self._at:
            self._die(drop)

    def _end(self, drop: Drop) -> None:
        self.dead = True
        drop()
        raise Died(self.points[-1])


armed: Final = ContextVar[Crash | None]("armed", default=None)
"""What the requests of this task are cut off by."""


def install(patch: Callable[[object, str, object], None]) -> None:
    """Put the hooks into the drivers of both databases; ``patch`` is `setattr`, or the like."""
    patch(sqlite3, "connect", functools.partial(sqlite3.connect, factory=_SqliteConnection))
    for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
        patch(asyncpg.Connection, name, _hooked(getattr(asyncpg.Connection, name), lambda this, text, *_: (this, text)))
    for name in ("fetch", "fetchrow", "fetchval", "executemany"):
        patch(PreparedStatement, name, _hooked(getattr(PreparedStatement, name), _of_prepared))


def _of_prepared(this: Any, *_: object) -> tuple[Any, str]:
    return this._connection, this.get_query()


def _hooked(function: Callable[..., Awaitable[Any]], told: Callable[..., tuple[Any, str]]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def hooked(*args: Any, **more: Any) -> Any:
        crash = armed.get()
        if crash is None:
            return await function(*args, **more)
        connection, statement = told(*args)
        crash.before(connection, statement, connection.terminate)
        given = await function(*args, **more)
        crash.after(connection, statement, connection.terminate)
        return given

    return hooked


class _SqliteConnection(sqlite3.Connection):
    """A connection that remembers whose it is, as a commit runs in another thread."""

    crash: Crash | None = None

    def cursor(self, factory: Any = None) -> Any:
        """A cursor with hooks."""
        return super().cursor(factory or _SqliteCursor)

    def commit(self) -> None:
        """With hooks before and after."""
        crash = self.crash
        if crash is not None:
            crash.before(self, "COMMIT", self.close)
        super().commit()
        if crash is not None:
            crash.after(self, "COMMIT", self.close)
            self.crash = None

    def rollback(self) -> None:
        """Nobody is there to roll back; the file's next reader finds what was committed."""
        if self.crash is None or not self.crash.dead:
            super().rollback()
            self.crash = None

    @property
    def total_changes(self) -> int:
        """As ever, but nobody is there to ask."""
        return 0 if self.crash is not None and self.crash.dead else super().total_changes


class _SqliteCursor(sqlite3.Cursor):
    connection: _SqliteConnection

    def execute(self, sql: str, parameters: Any = ()) -> "_SqliteCursor":
        """With a hook before."""
        self._before(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> "_SqliteCursor":
        """With a hook before."""
        self._before(sql)
        return super().executemany(sql, parameters)

    def _before(self, sql: str) -> None:
        crash = armed.get()
        if crash is not None:
            self.connection.crash = crash
            crash.before(self.connection, sql, self.connection.close)
