"""The pooler for tests is one in transaction mode, as strict as those of others."""

import asyncio

import asyncpg
import pytest
from servers.binaries import NotFound
from servers.pooler import Pooler, program
from servers.postgres import Server


@pytest.fixture
def anyio_backend() -> str:
    """Asyncpg runs on asyncio."""
    return "asyncio"


def test_clients_share_connections(postgres: Server, pooler: Pooler) -> None:
    """Two clients, one after the other, are served by the same backend."""
    assert pooler.sql("SELECT pg_backend_pid()") == pooler.sql("SELECT pg_backend_pid()")
    assert postgres.sql("SELECT pg_backend_pid()") != postgres.sql("SELECT pg_backend_pid()")


async def test_a_connection_lasts_for_a_transaction(postgres: Server) -> None:
    """With one connection to the server, a second client waits for the first one's transaction and no longer."""
    with Pooler(postgres, connections=1) as pooler:
        one = await asyncpg.connect(pooler.url(), statement_cache_size=0)
        two = await asyncpg.connect(pooler.url(), statement_cache_size=0)
        async with one.transaction():
            await one.fetch("SELECT 1")
            waiting = asyncio.ensure_future(two.fetchval("SELECT 2"))
            await asyncio.wait({waiting}, timeout=0.2)
            assert not waiting.done()
        assert await waiting == 2
        await one.close()
        await two.close()


def test_a_machine_without_pgbouncer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to get it."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(NotFound, match="apt-get"):
        program()
