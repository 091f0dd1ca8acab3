"""A real authority on a temporary SQLite file, with quick passwords and keys, and a client that speaks to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx2 import ASGITransport, AsyncClient
from tests.authority.helpers import ISSUER, Headers, bearer

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.settings import Settings


@pytest.fixture
def anyio_backend() -> str:
    """The authority runs on asyncio."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh database's settings; passwords cost next to nothing."""
    return Settings(
        issuer=ISSUER,
        database=f"sqlite:///{tmp_path / 'watchword.db'}",
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
