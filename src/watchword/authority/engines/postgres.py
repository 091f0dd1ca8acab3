"""PostgreSQL: a server that many replicas share.

Transactions are begun and ended here and not by the driver, so that beginning one and setting what it must hold to is
one round trip, and so that a pooler in between, which hands a server's connection out for one transaction at a time,
changes nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, final

from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from watchword.authority.background import surviving
from watchword.authority.engines.engine import CHANNEL
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared

try:
    import asyncpg
except ImportError as why:  # pragma: no cover - the extra `postgres` is installed wherever this is tested
    raise ValueError("database: PostgreSQL needs asyncpg: pip install 'watchword[postgres]'") from why

_CONNECT_SECONDS: Final = 3.0
_COMMAND_SECONDS: Final = 5.0
"""Longer than any statement may wait for a lock: what takes longer is a connection that leads nowhere."""
_POOL_SIZE: Final = 16
_ALONE: Final = 0x77617463
"""The advisory lock of those who change what others check first: "watc" as a number."""
# A replica that stops in the middle of a transaction holds its locks until the server ends it: sooner than those who
# wait for them give up.
_LIMITS: Final = "SET LOCAL idle_in_transaction_session_timeout = 2000; SET LOCAL lock_timeout = 3000;"
_READ: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_LIMITS}"
_WRITE: Final = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LIMITS} SET LOCAL synchronous_commit = on;"
_WRITE_ALONE: Final = f"{_WRITE} SELECT pg_advisory_xact_lock({_ALONE});"
_MIGRATE: Final = (
    "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 60000;"
    f" SET LOCAL synchronous_commit = on; SELECT pg_advisory_xact_lock({_ALONE});"
)
_GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    ConnectionError,
)
"""The server has gone, or has ended this connection."""
_LISTEN_PAUSE: Final = 1.0  # seconds until listening is tried again
_LISTEN_CHECK: Final = 5.0  # seconds between two looks at whether anybody is still there


@final
class PostgresEngine:
    """A pool of connections to ``url``. ``direct`` is for listening, where ``url`` leads to a transaction pooler."""

    poll_seconds = 0.25
    failures: tuple[type[Exception], ...] = (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,  # also where no server of several is the primary that the URL asks for
        TimeoutError,
    )

    def __init__(self, url: str, direct: str) -> None:
        self._direct = direct or url
        self._pooled = bool(direct)
        # Behind a pooler the next transaction is on another server's connection, where nothing is prepared.
        unnamed = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""} if direct else {}
        self._engine = _engine(url, unnamed, pool_size=_POOL_SIZE, max_overflow=0, pool_timeout=_COMMAND_SECONDS)

    def reading(self) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """One snapshot for all statements."""
        return _transaction(self._engine, _READ)

    async def fetch(self, query: Prepared, values: Mapping[str, object]) -> list[Row]:
        """Without a transaction around it, but behind a pooler, where nothing else keeps a server's connection."""
        text, ordered = query.bound(self._engine.dialect, values)
        if self._pooled:
            async with self.reading() as connection:
                found = await connection.exec_driver_sql(text, ordered)
                return [dict(row) for row in found.mappings()]
        async with _connected(self._engine, lambda driver: driver.fetch(text, *ordered)) as (_, rows):
            return [dict(row) for row in rows]

    def writing(self, *, alone: bool) -> contextlib.AbstractAsyncContextManager[AsyncConnection]:
        """Each statement sees what is committed when it begins: lock what is to be relied upon."""
        return _transaction(self._engine, _WRITE_ALONE if alone else _WRITE)

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """On a connection of its own that waits for the other replicas as long as it takes."""
        engine = _engine(self._direct, {}, command_seconds=None, poolclass=NullPool)
        try:
            async with _transaction(engine, _MIGRATE) as connection:
                yield connection
        finally:
            await engine.dispose()

    async def exists(self) -> bool:
        """Whether our first table is there."""
        async with self.reading() as connection:
            return (await connection.execute(text("SELECT to_regclass('head')"))).scalar_one() is not None

    async def check(self) -> None:
        """Without fsync a commit is in memory only, and other encodings hold no name of every language."""
        async with self.reading() as connection:
            for name, wanted in (("fsync", "on"), ("server_encoding", "UTF8")):
                found = (await connection.execute(text("SELECT current_setting(:name)"), {"name": name})).scalar_one()
                if found != wanted:
                    raise ValueError(f"database: the server has {name} = {found}; {wanted} is needed")

    async def listen(self, heard: Callable[[], None]) -> None:
        """Listen on a connection of its own, and open it again whenever it is lost; what was missed is told then."""
        while True:
            with surviving("listening to the database", *self.failures, OSError):
                await self._listen_once(heard)
            await asyncio.sleep(_LISTEN_PAUSE)

    def cannot_hold(self, error: Exception) -> bool:
        """A text with NUL, one that is too long, or a number out of range."""
        raised = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(raised, "sqlstate", None)
        told = isinstance(state, str) and state.startswith("22")
        return (
            told
            or isinstance(raised, asyncpg.DataError)
            or isinstance(getattr(raised, "__cause__", None), asyncpg.DataError)
        )

    async def dispose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def _listen_once(self, heard: Callable[[], None]) -> None:
        connection = await _connect(self._direct, _COMMAND_SECONDS)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, lambda *_: heard())
            heard()
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LISTEN_CHECK):
                        await lost.wait()
                if not lost.is_set():
                    await connection.execute("SELECT 1")  # a connection that leads nowhere says nothing by itself
        finally:
            connection.terminate()

    def __repr__(self) -> str:
        return "PostgreSQL"


async def _connect(url: str, command_seconds: float | None, *, pooled: bool = False) -> Any:
    return await asyncpg.connect(
        url,
        timeout=_CONNECT_SECONDS,
        command_timeout=command_seconds,
        statement_cache_size=0 if pooled else 100,
        server_settings={"application_name": "watchword"},
    )


def _engine(
    url: str, connect_args: dict[str, Any], *, command_seconds: float | None = _COMMAND_SECONDS, **pool: Any
) -> AsyncEngine:
    async def connect(*_: object, **__: object) -> Any:
        return await _connect(url, command_seconds, pooled=bool(connect_args))

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, connect_args=connect_args, hide_parameters=True, **pool
    )
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def _transaction(engine: AsyncEngine, begin: str) -> AsyncIterator[AsyncConnection]:
    async with _connected(engine, lambda driver: driver.execute(begin)) as (connection, _):
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            yield connection
            if await driver.execute("COMMIT") != "COMMIT":
                raise asyncpg.InterfaceError("the transaction had failed before")
        except BaseException:
            await _roll_back(connection, driver)
            raise


@asynccontextmanager
async def _connected(
    engine: AsyncEngine, first: Callable[[Any], Awaitable[Any]]
) -> AsyncIterator[tuple[AsyncConnection, Any]]:
    """A connection on which something has been done that changes nothing, and what it gave.

    So where a pooled connection turns out to be dead, as after a restart of the database, another one is taken.
    """
    for left in reversed(range(_POOL_SIZE + 1)):
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                given = await first(driver)
            except _GONE:
                await connection.invalidate()
                if not left:
                    raise
                continue
            except asyncpg.PostgresError:
                raise
            except BaseException:
                await connection.invalidate()  # whether it has been done or not, nobody knows
                raise
            yield connection, given
            return


async def _roll_back(connection: AsyncConnection, driver: Any) -> None:
    """Undo, or drop the connection if it cannot be said that it is undone."""
    try:
        if driver.is_closed():
            raise asyncpg.InterfaceError("closed")
        await driver.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.invalidate()
    except BaseException:
        await connection.invalidate()
        raise
