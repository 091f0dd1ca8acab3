"""Three replicas of an authority on an empty database of PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.replicas.world import Replica, opened, quick

from watchword.authority.settings import Settings


@pytest.fixture
def anyio_backend() -> str:
    """The authority runs on asyncio."""
    return "asyncio"


@pytest.fixture
def settings(postgres_url: str, tmp_path: Path) -> Settings:
    """What all replicas are set to."""
    return quick(postgres_url, tmp_path)


@pytest.fixture
async def replicas(settings: Settings) -> AsyncIterator[list[Replica]]:
    """The three, open."""
    async with opened(settings) as opened_replicas:
        yield opened_replicas
