"""Several replicas on one database do what one would: nothing is done twice, lost, or seen too late."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers.pooler import Pooler
from servers.postgres import Postgres, Server
from sqlalchemy import func, select, text
from tests.authority.helpers import account, code, good, make_user, refresh, sign_in
from tests.replicas.world import Replica, opened, quick

from watchword.authority.accounts.throttle import ACCOUNT
from watchword.authority.authority import Authority
from watchword.authority.engines.postgres import PostgresEngine
from watchword.authority.log.cut import cut_token
from watchword.authority.schema import head, refresh_tokens, throttle, users
from watchword.authority.settings import Settings, SettingsError


async def test_fifty_refreshes_at_once_give_one_lineage(replicas: list[Replica]) -> None:
    """One token, fifty tabs, three replicas: all get the same successor, which is the only one, and it works."""
    first = replicas[0]
    await make_user(first.http, await first.operator())
    token = (await sign_in(first.http))["refresh_token"]
    answers = await asyncio.gather(*(refresh(replicas[turn % 3].http, token) for turn in range(50)))
    successors = {good(answer)["refresh_token"] for answer in answers}
    assert len(successors) == 1
    async with first.authority.database.reading() as connection:
        kept = (await connection.execute(select(func.count()).select_from(refresh_tokens))).scalar_one()
    assert kept == 2
    assert await account(replicas[1].http, good(await refresh(replicas[2].http, successors.pop()))) == "ok"


async def test_a_reuse_is_found_by_any_replica_and_ends_the_session_at_all(settings: Settings) -> None:
    """A spent token whose successor was used comes again, elsewhere, after the grace."""
    async with opened(settings_without_grace(settings)) as replicas:
        first, second, third = replicas
        await make_user(first.http, await first.operator())
        stolen = (await sign_in(first.http))["refresh_token"]
        following = good(await refresh(second.http, stolen))
        latest = good(await refresh(third.http, following["refresh_token"]))
        assert code(await refresh(second.http, stolen)) == "refresh_reused"
        assert code(await refresh(first.http, latest["refresh_token"])) == "invalid_grant"
        for replica in replicas:
            await replica.authority.source.catch_up()
            assert await account(replica.http, latest) == "session_ended"


def settings_without_grace(settings: Settings) -> Settings:
    """The same, but a spent token that comes again is a reuse at once."""
    return quick(settings.database, Path(settings.secret_file).parent, refresh_grace=0)


async def test_every_wrong_password_counts_wherever_it_was_tried(replicas: list[Replica]) -> None:
    """Sent at once to three replicas they are charged one by one: none is lost, and then all must wait."""
    first = replicas[0]
    await make_user(first.http, await first.operator())
    body = {"username": "ada", "password": "wrong password", "client_id": "watchword"}
    tries = [replicas[turn % 3].http.post("/login", json=body) for turn in range(ACCOUNT.free)]
    assert {code(answer) for answer in await asyncio.gather(*tries)} <= {"sign_in_failed", "throttled"}
    async with first.authority.database.reading() as connection:
        charged = (await connection.execute(select(func.max(throttle.c.failures)))).scalar_one()
    assert charged == ACCOUNT.free
    for replica in replicas:
        assert (await replica.http.post("/login", json=body)).status_code == 429


async def test_five_that_start_at_once_make_one_authority(settings: Settings) -> None:
    """The tables are made once, and so are the log, the keys and the first administrator."""
    authorities = await asyncio.gather(*(Authority.open(settings) for _ in range(5)))
    try:
        assert sum(each.first_administrator is not None for each in authorities) == 1
        assert len({(await _instance(each), each.refresh_key) for each in authorities}) == 1
        async with authorities[0].database.reading() as connection:
            assert (await connection.execute(select(func.count()).select_from(users))).scalar_one() == 1
    finally:
        for authority in authorities:
            await authority.close()


async def _instance(authority: Authority) -> str:
    async with authority.database.reading() as connection:
        return str((await connection.execute(select(head.c.instance))).scalar_one())


@pytest.fixture
async def unpolled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Replica]]:
    """Two replicas that never look at the head by themselves."""
    monkeypatch.setattr(PostgresEngine, "poll_seconds", 3600.0)
    async with opened(settings, 2) as replicas:
        for replica in replicas:
            await _listens(replica)
        yield replicas


async def _listens(replica: Replica) -> None:
    query = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
    async with asyncio.timeout(30):
        while True:
            async with replica.authority.database.reading() as connection:
                if (await connection.execute(query)).scalar_one():
                    return
            await asyncio.sleep(0.01)


async def test_a_change_at_one_wakes_who_waits_at_another(unpolled: list[Replica]) -> None:
    """The database tells; nobody had to look."""
    here, there = unpolled
    move = there.authority.reader.next_move
    async with here.authority.changing() as connection:
        await cut_token(connection, "t")
    assert await there.authority.reader.wait(move, 30)


async def test_a_change_is_found_where_nobody_tells(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the head stands behind the listening."""

    async def nobody_tells(*_: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr(PostgresEngine, "listen", nobody_tells)
    async with opened(settings, 2) as (here, there):
        move = there.authority.reader.next_move
        async with here.authority.changing() as connection:
            await cut_token(connection, "t")
        assert await there.authority.reader.wait(move, 30)


async def test_who_listens_is_heard_again_after_the_connection_was_lost(unpolled: list[Replica]) -> None:
    """The listener opens another one, and tells then, as it may have missed something."""
    here, there = unpolled
    move = there.authority.reader.next_move
    query = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    async with here.authority.database.reading() as connection:
        await connection.execute(query)
    assert await there.authority.reader.wait(move, 30)
    await test_a_change_at_one_wakes_who_waits_at_another(unpolled)


async def _story(here: Replica, there: Replica) -> None:
    """Sign in at one, be checked at the other, be revoked at one, and be refused at the other."""
    operator = await here.operator()
    user = await make_user(here.http, operator)
    tokens = await sign_in(here.http)
    await there.authority.source.catch_up()
    assert await account(there.http, tokens) == "ok"
    tokens = good(await refresh(there.http, tokens["refresh_token"]))
    body = {"scope": "user", "id": user["id"]}
    good(await here.http.post("/admin/revocations", json=body, headers=operator))
    await there.authority.source.catch_up()
    assert await account(there.http, tokens) == "signed_out"
    assert code(await refresh(there.http, tokens["refresh_token"])) == "invalid_grant"
    assert good(await there.http.get("/admin/status", headers=await there.operator()))["cutoffs"]


async def test_the_oldest_supported_server_will_do(postgres16: Server, tmp_path: Path) -> None:
    """The whole way on PostgreSQL 16."""
    with postgres16.database() as url:
        async with opened(quick(url, tmp_path), 2) as (here, there):
            await _story(here, there)


async def test_a_transaction_pooler_may_stand_in_between(pooler: Pooler, postgres_url: str, tmp_path: Path) -> None:
    """All but the listening goes through it, and a change wakes the other replica."""
    through = pooler.url(urlsplit(postgres_url).path.lstrip("/"))
    settings = quick(through, tmp_path, database_direct=postgres_url)
    async with opened(settings, 2) as (here, there):
        await _story(here, there)


async def test_a_server_that_might_forget_is_refused_at_the_start(tmp_path: Path) -> None:
    """With fsync off, what was acknowledged is in memory only."""
    refused = pytest.raises(SettingsError, match="fsync")
    with Postgres(18, settings={"fsync": "off"}) as server, server.database() as url, refused:
        await Authority.open(quick(url, tmp_path))
