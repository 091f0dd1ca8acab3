"""The database: readers get one snapshot, writers wait for one another, and acknowledged means on disk."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Column, Connection, Engine, RowMapping, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from watchword.errors import Unavailable

LOCK_TIMEOUT_MS: Final = 5000
_LATER: Final = "watchword after commit"
# julianday has microseconds where unixepoch has whole seconds, and knows no time zone.
_CLOCK = text("SELECT (julianday('now') - 2440587.5) * 86400.0")


class Database:
    """One SQLite file behind a pool of connections."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # One writer of this process at a time: SQLite's own waiting is a poll that is neither fair nor quick.
        self._turn = asyncio.Lock()
        # What is bound to a statement may be a hash or a wrapped key: neither errors nor logs quote it.
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
        logging.getLogger("aiosqlite").setLevel(logging.INFO)
        _prepare(self._engine.sync_engine)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one snapshot, taken at its first statement, and changes nothing."""
        async with self._connected() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: alone from its beginning, durable when the block is left."""
        async with self._turn, self._connected() as connection:
            await connection.execution_options(watchword_writing=True)
            later = connection.info[_LATER] = []
            async with connection.begin():
                yield connection
            for tell in later:
                tell()

    async def dispose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, SQLAlchemyError, OSError) as why:
            raise Unavailable(f"the database failed: {type(why).__name__}", retry_after=1) from why


def after_commit(connection: AsyncConnection, tell: Callable[[], None]) -> None:
    """Let something be told once the running transaction is durable, and not at all if it fails."""
    connection.info[_LATER].append(tell)


async def clock(connection: AsyncConnection) -> float:
    """The database's clock: seconds since 1970."""
    return float((await connection.execute(_CLOCK)).scalar_one())


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


def migrate(path: Path) -> None:
    """Bring the file's tables up to date, or make them; safe to call side by side. `Unavailable` where it fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        _migrate(path)
    except CommandError as why:
        raise Unavailable(f"{path}: the tables are of another version of Watchword") from why
    except DBAPIError as why:
        raise Unavailable(f"{path}: {why.orig}") from why
    except OSError as why:
        raise Unavailable(f"{path}: {why.strerror}") from why


def _migrate(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    _prepare(engine)
    config = Config()
    config.set_main_option("script_location", "watchword.authority:migrations")
    config.set_main_option("path_separator", "os")
    try:
        with engine.execution_options(watchword_writing=True).begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def _prepare(engine: Engine) -> None:
    """Take the transactions into our own hands: the driver's default gives each SELECT a snapshot of its own."""

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _: object) -> None:
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in (
            f"busy_timeout = {LOCK_TIMEOUT_MS}",
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
