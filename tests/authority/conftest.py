"""A real authority on a database of either kind, with quick passwords and keys, and a client that speaks to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from httpx2 import ASGITransport, AsyncClient
from servers.postgres import Server
from sqlalchemy import delete
from tests.authority.helpers import ISSUER, Headers, bearer

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.operator import operator_token
from watchword.authority.schema import metadata
from watchword.authority.settings import Settings

EMPTY: Final = "; ".join(str(delete(table)) for table in reversed(metadata.sorted_tables))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Modules marked `both_databases` are tried on both; the others, which the database is nothing to, on a file."""
    if "database_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def anyio_backend() -> str:
    """The authority runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """A database with tables for all tests of a worker: to empty them takes a tenth of the time of making them."""
    with postgres.database() as url, ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _migrate(url)).result()
        yield url


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.dispose()


@pytest.fixture
def emptied(postgres: Server, migrated: str) -> Iterator[str]:
    """That database, empty before the test and after it."""
    yield migrated
    postgres.sql(f"DO $$ BEGIN {EMPTY}; END $$", database=urlsplit(migrated).path[1:])


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a SQLite file, or PostgreSQL for the second turn of a module that is tried on both."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path / 'watchword.db'}"
    url: str = request.getfixturevalue("emptied")
    return url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """A fresh database's settings; passwords cost next to nothing."""
    return Settings(
        issuer=ISSUER,
        database=database_url,
        secret_file=str(tmp_path / "watchword.secret"),
        algorithm="ES256",
        password_memory_kib=8,
        password_rounds=1,
    )


@pytest.fixture
async def authority(settings: Settings) -> AsyncIterator[Authority]:
    """An open authority, its first start done."""
    authority = await Authority.open(settings)
    yield authority
    await authority.close()


@pytest.fixture
async def http(authority: Authority) -> AsyncIterator[AsyncClient]:
    """Speaks to the authority, without a token; a bug in an endpoint is raised here and is no 500."""
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as client:
        yield client


@pytest.fixture
async def operator(authority: Authority) -> Headers:
    """The header of an administrator: the operator on the machine."""
    return bearer(await operator_token(authority))
