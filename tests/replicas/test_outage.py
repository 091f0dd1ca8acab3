"""The database goes away and comes back under running replicas."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from httpx2 import Response
from servers.postgres import Postgres
from tests.authority.helpers import (
    OWN_CLIENT,
    PASSWORD,
    Headers,
    Json,
    account,
    bearer,
    good,
    make_user,
    refresh,
    sign_in,
)
from tests.replicas.world import Replica, opened, quick

from watchword.authority.authority import Authority
from watchword.authority.log.cut import cut_token
from watchword.authority.settings import Settings
from watchword.errors import Unavailable


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server of our own, for one test."""
    with Postgres() as server:
        yield server


@pytest.fixture
def settings(own: Postgres, tmp_path: Path) -> Settings:
    """Replicas on a database of that server."""
    return quick(own.create_database(), tmp_path)


@pytest.fixture
async def replicas(settings: Settings) -> AsyncIterator[list[Replica]]:
    """Two will do."""
    async with opened(settings, 2) as both:
        yield both


async def _ask_all(replica: Replica, tokens: Json) -> list[Response]:
    """One request of each kind that the database is needed for."""
    login = {"username": "ada", "password": PASSWORD, "client_id": OWN_CLIENT}
    form = {"grant_type": "client_credentials", "client_id": "svc", "client_secret": "x"}
    return [
        await replica.http.post("/login", json=login),
        await refresh(replica.http, tokens["refresh_token"]),
        await replica.http.post("/token", data=form),
        await replica.http.post("/revoke", data={"token": "x", "client_id": OWN_CLIENT}),
        await replica.http.get("/account", headers=bearer(tokens)),
        await replica.http.get("/.well-known/jwks.json"),
        await replica.http.get("/readyz"),
    ]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_without_its_database_a_replica_says_so_and_with_it_goes_on(
    own: Postgres, replicas: list[Replica], how: str
) -> None:
    """503 with Retry-After to whoever asks, and nothing else; then all is as before, by the same processes."""
    await make_user(replicas[0].http, await replicas[0].operator())
    tokens = await sign_in(replicas[0].http)
    await replicas[1].authority.source.catch_up()
    await asyncio.gather(*(sign_in(replica.http) for replica in replicas for _ in range(4)))  # open many connections
    await anyio.to_thread.run_sync(getattr(own, how))
    for replica in replicas:
        for answer in await _ask_all(replica, tokens):
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True), answer.url
        assert good(await replica.http.get("/livez")) == {"status": "live"}
    await anyio.to_thread.run_sync(own.start)
    for replica in replicas:
        statuses = [answer.status_code for answer in await _ask_all(replica, tokens)]
        assert statuses == [200, 200, 401, 200, 200, 200, 200]
    await _tell_each_other(replicas)


async def _tell_each_other(replicas: list[Replica]) -> None:
    here, there = replicas
    move = there.authority.reader.next_move
    async with here.authority.changing() as connection:
        await cut_token(connection, "t")
    assert await there.authority.reader.wait(move, 30)


async def test_a_restart_amid_requests_loses_none_and_invents_none(own: Postgres, replicas: list[Replica]) -> None:
    """Every answer is a good one or 503 with Retry-After, and what was acknowledged is there."""
    operator = await replicas[0].operator()
    await make_user(replicas[0].http, operator)
    done, started = asyncio.Event(), asyncio.Event()
    asking = [
        asyncio.create_task(_revoke_until(done, started, replica, operator)) for replica in replicas for _ in range(4)
    ]
    await started.wait()
    await anyio.to_thread.run_sync(own.restart)
    tokens = await sign_in(replicas[1].http)
    done.set()
    acknowledged = {name for each in await asyncio.gather(*asking) for name in each}
    kept = {entry[2] for entry in await replicas[0].entries()}
    assert acknowledged <= kept
    assert await account(replicas[1].http, tokens) == "ok"


async def _revoke_until(done: asyncio.Event, started: asyncio.Event, replica: Replica, operator: Headers) -> list[str]:
    """Revoke one made-up token after the other; those that were acknowledged."""
    acknowledged, number = list[str](), 0
    while not done.is_set():
        name = f"{id(acknowledged)}-{(number := number + 1)}"
        body = {"scope": "token", "id": name}
        answer = await replica.http.post("/admin/revocations", json=body, headers=operator)
        if answer.status_code == 200:
            acknowledged.append(name)
            started.set()
        else:
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True), answer.text
    return acknowledged


async def test_a_replica_does_not_start_without_its_database(own: Postgres, settings: Settings) -> None:
    """It says why, and tells nobody the password."""
    await anyio.to_thread.run_sync(own.stop)
    with pytest.raises(Unavailable) as refusal:
        await Authority.open(settings)
    assert "the database failed" in str(refusal.value)
    assert own.address.split(":")[2].partition("@")[0] not in str(refusal.value)
    await anyio.to_thread.run_sync(own.start)
    authority = await Authority.open(settings)
    await authority.close()
