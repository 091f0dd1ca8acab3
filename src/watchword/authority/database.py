"""The database: readers get one snapshot, and what a writer has acknowledged is on disk."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    Column,
    Connection,
    Float,
    RowMapping,
    Table,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from watchword.authority.engines.engine import Engine
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared
from watchword.authority.engines.sqlite import CLOCK, SqliteEngine
from watchword.errors import InvalidRequest, Refused, Unavailable

SQLITE: Final = "sqlite:///"
_LATER: Final = "watchword after commit"


class Database:
    """One database behind a pool of connections: a SQLite file or a PostgreSQL server, as its URL says.

    ``direct`` is the server's own URL where ``url`` leads to a transaction pooler. ``now`` is the clock of SQLite, in
    seconds since 1970; a server has its own.
    """

    def __init__(self, url: str, *, direct: str = "", now: Callable[[], float] = time.time) -> None:
        self._engine = _engine(url, direct, now)
        self._failures: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *self._engine.failures)

    @property
    def poll_seconds(self) -> float:
        """How often the log's head is to be looked at for changes that nobody told of."""
        return self._engine.poll_seconds

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one snapshot, taken at its first statement, and changes nothing."""
        with self._told():
            async with self._engine.reading() as connection:
                yield connection

    async def fetch(self, query: Prepared, **values: object) -> list[Row]:
        """The rows of one query: a snapshot by itself, without the price of a transaction."""
        try:
            return await self._engine.fetch(query, values)
        except self._failures as why:  # as `_told` has it, without the price of a context manager
            raise self._refusal(why) from why

    @asynccontextmanager
    async def writing(self, *, alone: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write, durable when the block is left.

        ``alone``: no other such one runs beside it, in this process or another. For whoever changes what others check
        first. On SQLite every writer is alone.
        """
        with self._told():
            async with self._engine.writing(alone=alone) as connection:
                later = connection.info[_LATER] = []
                yield connection
        for tell in later:
            tell()

    async def migrate(self) -> None:
        """Bring the tables up to date, or make them; one process does it while others wait. `Unavailable`."""
        try:
            async with self._engine.migrating() as connection:
                await connection.run_sync(_upgrade)
        except CommandError as why:
            raise Unavailable(f"{self._engine}: the tables are of another version of Watchword") from why
        except self._failures as why:
            said = why.orig if isinstance(why, DBAPIError) else why
            raise Unavailable(f"{self._engine}: {getattr(said, 'strerror', None) or said}") from why

    async def exists(self) -> bool:
        """Whether there is such a database; makes nothing."""
        with self._told():
            return await self._engine.exists()

    async def check(self) -> None:
        """``ValueError`` for a server that is set up so that what is acknowledged might be lost."""
        with self._told():
            await self._engine.check()

    async def listen(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` when another process moves the log, until cancelled; return where nobody tells."""
        await self._engine.listen(heard)

    async def dispose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the driver says about a failure is told to nobody but the log."""
        try:
            yield
        except self._failures as why:
            raise self._refusal(why) from why

    def _refusal(self, why: Exception) -> Refused:
        if self._engine.cannot_hold(why):
            return InvalidRequest("a value that the database cannot hold", reason="a text or number cannot be kept")
        said = why.strerror if isinstance(why, OSError) and why.strerror else type(why).__name__
        return Unavailable(f"the database failed: {said}", retry_after=1)

    def __repr__(self) -> str:
        return f"Database({self._engine!r})"


def _engine(url: str, direct: str, now: Callable[[], float]) -> Engine:
    if url.startswith(SQLITE):
        return SqliteEngine(Path(url.removeprefix(SQLITE)), now)
    from watchword.authority.engines.postgres import PostgresEngine  # only here: its driver is an extra

    return PostgresEngine(url, direct)


def is_shared(connection: AsyncConnection) -> bool:
    """Whether other writers work beside this transaction, so that rows must be locked before they are relied upon."""
    return connection.dialect.name != "sqlite"


async def lock_row(connection: AsyncConnection, table: Table, identifier: str, *, whole: bool = False) -> None:
    """Let nobody else change the row of that ``id`` until this transaction ends.

    Locks are taken in the order throttle, client, user, session, head, or two would wait for one another. Rows that
    refer to this one can still be added, unless it is locked ``whole`` to be removed.
    """
    if is_shared(connection):
        query = select(table.c.id).where(table.c.id == identifier).with_for_update(key_share=not whole)
        await connection.execute(query)


async def keep_row(connection: AsyncConnection, table: Table, identifier: str) -> None:
    """Let nobody remove the row of that ``id`` until this transaction ends: for whoever adds one that refers to it."""
    if is_shared(connection):
        query = select(table.c.id).where(table.c.id == identifier).with_for_update(read=True, key_share=True)
        await connection.execute(query)


def after_commit(connection: AsyncConnection, tell: Callable[[], None]) -> None:
    """Let something be told once the running transaction is durable, and not at all if it fails."""
    connection.info[_LATER].append(tell)


class Now(FunctionElement[float]):
    """The database's clock in a statement: seconds since 1970."""

    type = Float()
    inherit_cache = True


@compiles(Now, "sqlite")
def _now_of_sqlite(*_: object, **__: object) -> str:
    return f"{CLOCK}()"


@compiles(Now, "postgresql")
def _now_of_postgresql(*_: object, **__: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


async def clock(connection: AsyncConnection) -> float:
    """The database's clock: seconds since 1970."""
    return float((await connection.execute(select(Now()))).scalar_one())


def plain(row: RowMapping) -> dict[str, Any]:
    """A row as a plain dict, its names plain texts and not SQLAlchemy's."""
    return {str(name): value for name, value in row.items()}


async def gathered(
    connection: AsyncConnection, owner: Column[str], value: Column[str], owners: Iterable[str]
) -> Mapping[str, list[str]]:
    """The values that belong to each of these owners, sorted: one query for a whole page of a list."""
    found: dict[str, list[str]] = defaultdict(list)
    query = select(owner.label("owner"), value.label("value")).where(owner.in_(list(owners))).order_by(value)
    for row in (await connection.execute(query)).mappings():
        found[row["owner"]].append(row["value"])
    return found


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "watchword.authority:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
