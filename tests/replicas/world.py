"""What tests of replicas speak about: several authorities on one PostgreSQL, each with connections of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import select, text
from tests.authority.helpers import ISSUER, Headers, bearer

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.log.head import read_head
from watchword.authority.operator import operator_token
from watchword.authority.schema import entries
from watchword.authority.settings import Settings
from watchword.core.cutoffs import Position

COUNT: Final = 3


class Replica(NamedTuple):
    """One authority, and a client that speaks to it; a bug in an endpoint is raised here and is no 500."""

    authority: Authority
    http: AsyncClient

    async def operator(self) -> Headers:
        """The header of an administrator."""
        return bearer(await operator_token(self.authority))

    async def position(self) -> Position:
        """Where the log stands."""
        async with self.authority.database.reading() as connection:
            return (await read_head(connection)).position

    async def entries(self) -> list[tuple[int, str, str, str]]:
        """The whole log: number, scope, id and reason of each entry."""
        query = select(entries.c.position, entries.c.scope, entries.c.id, entries.c.reason)
        async with self.authority.database.reading() as connection:
            rows = (await connection.execute(query.order_by(entries.c.position))).all()
        return [(row[0], row[1], row[2], row[3]) for row in rows]


def quick(url: str, folder: Path, **changes: Any) -> Settings:
    """Settings of replicas on that database: they share a secret, and passwords cost next to nothing."""
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "database": url,
        "secret_file": str(folder / "watchword.secret"),
        "algorithm": "ES256",
        "password_memory_kib": 8,
        "password_rounds": 1,
    }
    return Settings(**given | changes)


@asynccontextmanager
async def opened(settings: Settings, count: int = COUNT) -> AsyncIterator[list[Replica]]:
    """So many replicas, one opened after the other; closed at the end."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(one(settings)) for _ in range(count)]


@asynccontextmanager
async def one(settings: Settings) -> AsyncIterator[Replica]:
    """A replica of its own."""
    authority = await Authority.open(settings)
    try:
        async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
            yield Replica(authority, http)
    finally:
        await authority.close()


class Gate:
    """Holds whoever has called a function, when it is done, until the gate is opened."""

    def __init__(self, patch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        function = getattr(module, name)

        async def held(*args: Any, **more: Any) -> Any:
            given = await function(*args, **more)
            self.reached.set()
            await self.open.wait()
            return given

        patch.setattr(module, name, held)


async def waits_or_is_done(replica: Replica, task: asyncio.Task[Any]) -> None:
    """Return once the task is done, or waits for a lock in the database."""
    waiting = text("SELECT 1 FROM pg_locks WHERE NOT granted")
    while not task.done():
        async with replica.authority.database.reading() as connection:
            if (await connection.execute(waiting)).first() is not None:
                return
        await asyncio.sleep(0.01)
