"""Open connections obey over real sockets, under real servers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.guard.authority import Authority
from tests.sockets.served import SERVERS, served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from watchword import Issuer, Key, Position

pytestmark = pytest.mark.xdist_group("sockets")  # the services are started once
PATIENCE = 30.0


@pytest.fixture(scope="module", params=SERVERS)
def url(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The service."""
    with served(request.param, authority.url, tmp_path_factory.mktemp("live") / "log") as url:
        yield url


def token(authority: Authority, **claims: Any) -> str:
    """A token of now."""
    issuer = Issuer(authority.issuer, authority.key)
    position = Position(authority.epoch, len(authority.entries))
    return issuer.mint(**{"subject": "ada", "audience": "orders", "client": "web", "position": position, **claims})


@asynccontextmanager
async def chatting(url: str, bearer: str, path: str = "/chat") -> AsyncIterator[ClientConnection]:
    """A WebSocket that is open."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with connect(
        url.replace("http", "ws") + path, additional_headers=headers, proxy=None, compression=None
    ) as chat:
        await chat.recv()
        yield chat


async def echo(chat: ClientConnection, text: str = "hello") -> str:
    """What comes back."""
    async with asyncio.timeout(PATIENCE):
        await chat.send(text)
        return str(await chat.recv())


async def drained(chat: ClientConnection) -> None:
    """Take whatever comes until the close; raises that."""
    while True:
        await chat.recv()


async def closed(chat: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close, once it comes."""
    with pytest.raises(ConnectionClosed) as caught:
        async with asyncio.timeout(PATIENCE):
            await chat.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_a_cutoff_closes_a_websocket(url: str, authority: Authority) -> None:
    """The one that it concerns, with code and reason; not the other, until its role changes."""
    ada, bob = token(authority, session="s-ada"), token(authority, subject="bob", roles=["editor"])
    async with chatting(url, ada) as one, chatting(url, bob, "/staff") as other:
        authority.cut_off("session", "s-ada", "session_ended")
        assert await closed(one) == (3000, "session_ended")
        assert await echo(other) == "bob: hello"
        authority.cut_off("role", "editor", "roles_changed")
        assert await closed(other) == (3003, "roles_changed")


async def test_a_handler_that_only_sends(url: str, authority: Authority) -> None:
    """It hears of the end, and the process of the service has time for others."""
    async with chatting(url, token(authority, session="s-hose"), "/firehose") as chat:
        authority.cut_off("session", "s-hose", "session_ended")
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(drained(chat), PATIENCE)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3000, "session_ended")
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        assert (await client.get(f"{url}/health")).status_code == 200


async def test_expiry_and_renewal(url: str, authority: Authority) -> None:
    """A connection ends with its token, unless it was given a fresh one."""
    short = {"lifetime": timedelta(seconds=1)}
    async with chatting(url, token(authority, **short)) as idle, chatting(url, token(authority, **short)) as renewed:
        assert (await echo(renewed, f"renew {token(authority)}")).startswith("ada: renew")
        assert await closed(idle) == (3000, "token_expired")
        assert await echo(renewed) == "ada: hello"
        await renewed.send(f"renew {token(authority, subject='bob')}")
        assert await closed(renewed) == (3000, "another_caller")


async def test_a_stream_of_events_ends_whole(url: str, authority: Authority) -> None:
    """The answer is complete: a browser would connect anew, and be refused."""
    bearer = {"Authorization": f"Bearer {token(authority, session='s-events')}"}
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        async with client.stream("GET", f"{url}/events", headers=bearer) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "data: ada 0"
            authority.cut_off("session", "s-events", "session_ended")
            async for _ in lines:
                pass
        assert (await client.get(f"{url}/events", headers=bearer)).json()["code"] == "session_ended"


async def test_a_download_is_broken_off(url: str, authority: Authority) -> None:
    """The half of a file never passes for the whole, whatever middleware is around the wall."""
    bearer = {"Authorization": f"Bearer {token(authority, session='s-file')}"}
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as client,
        client.stream("GET", f"{url}/download", headers=bearer) as answer,
    ):
        lines = answer.aiter_lines()
        assert await anext(lines) == "ada"
        authority.cut_off("session", "s-file", "session_ended")
        with pytest.raises(httpx2.RemoteProtocolError):
            async for _ in lines:
                pass


@pytest.mark.parametrize("server", SERVERS)
async def test_staleness(server: str, keys: Mapping[str, Key], tmp_path: Path) -> None:
    """When the authority is gone for longer than the bound, everyone is disconnected."""
    authority = Authority(keys["Ed25519"])
    try:
        with served(server, authority.url, tmp_path / "log", staleness=1) as url:
            async with chatting(url, token(authority)) as chat:
                assert await echo(chat) == "ada: hello"
                authority.misbehave = lambda handler, _: handler.break_off(b"")
                assert await closed(chat) == (1013, "guard_stale")
                with pytest.raises(InvalidStatus) as refused:
                    async with chatting(url, token(authority)):
                        pass
                assert refused.value.response.status_code == 503
    finally:
        authority.close()
