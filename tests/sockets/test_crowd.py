"""A thousand open WebSockets of five hundred callers of a real authority: each cutoff closes exactly its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from examples.setup import change
from examples.stage import Stage, User, bearer, open_stage
from tests.sockets.served import SERVERS, served
from tests.system.settings import FAST
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.xdist_group("sockets")
CALLERS, EACH, REVOKED = 500, 2, 50
PATIENCE = 60.0
TOGETHER = 50  # that connect at once: less than a listener's backlog


@dataclass(frozen=True)
class Person:
    """Somebody who has signed in."""

    id: str
    token: str


@dataclass(frozen=True)
class Chat:
    """A WebSocket of somebody's."""

    owner: Person
    socket: ClientConnection

    async def echoes(self) -> bool:
        """Whether it is open."""
        await self.socket.send("hello")
        return await self.socket.recv() == f"{self.owner.id}: hello"

    async def end(self) -> tuple[int, str]:
        """Code and reason of its close, once it comes."""
        with pytest.raises(ConnectionClosed) as caught:
            await self.socket.recv()
        assert caught.value.rcvd is not None
        return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The authority, which knows of another service."""
    with open_stage(tmp_path_factory.mktemp("stage"), FAST) as stage:
        stage.administrator("POST", "/audiences", name="orders")
        yield stage


@pytest.fixture(scope="module")
def users(stage: Stage) -> list[User]:
    """All of them."""
    administrator, made = stage.administrator.connection, []
    for number in range(CALLERS):
        user = User("", f"caller-{number}", "correct horse battery staple")
        members = {"username": user.name, "password": user.password, "roles": ["editor"]}
        made.append(replace(user, id=change(administrator, "POST", "/admin/users", **members)["user"]["id"]))
    return made


@asynccontextmanager
async def chatting(url: str, people: list[Person]) -> AsyncIterator[list[Chat]]:
    """Several open WebSockets of each."""
    async with AsyncExitStack() as stack:

        async def opened(owner: Person) -> Chat:
            headers, address = bearer(owner.token), url.replace("http", "ws") + "/chat"
            opening = connect(address, additional_headers=headers, proxy=None, compression=None, ping_interval=None)
            chat = Chat(owner, await stack.enter_async_context(opening))
            assert json.loads(await chat.socket.recv())["subject"] == owner.id
            return chat

        chats: list[Chat] = []
        owners = people * EACH
        while len(chats) < len(owners):
            chats += await asyncio.gather(*map(opened, owners[len(chats) : len(chats) + TOGETHER]))
        yield chats


@pytest.mark.parametrize("server", SERVERS)
async def test_exactly_theirs_close(server: str, stage: Stage, users: list[User], tmp_path: Path) -> None:
    """50 of 500 callers are revoked: their 100 close, 900 echo. Then a role goes, and in the end a key with all."""
    web, _ = stage.add_client(public=True, grants=["login"], audiences=["orders"])
    people = [Person(user.id, stage.sign_in(user, web, "orders").access) for user in users]
    revoked, demoted = {person.id for person in people[::10]}, people[1 + SERVERS.index(server)].id
    follower = stage.add_client(grants=["feed"], audiences=[])
    with served(server, stage.issuer, tmp_path / "log", client=follower) as url:
        async with asyncio.timeout(PATIENCE), chatting(url, people) as chats:
            assert len(chats) == CALLERS * EACH
            assert len(revoked) == REVOKED

            for user in revoked:
                await asyncio.to_thread(stage.administrator, "POST", "/revocations", scope="user", id=user)
            theirs = [chat for chat in chats if chat.owner.id in revoked]
            assert len(theirs) == REVOKED * EACH
            assert set(await asyncio.gather(*(chat.end() for chat in theirs))) == {(3000, "signed_out")}
            others = [chat for chat in chats if chat.owner.id not in revoked]
            assert all(await asyncio.gather(*(chat.echoes() for chat in others)))

            await asyncio.to_thread(stage.administrator, "PUT", f"/users/{demoted}/roles", roles=[])
            for chat in others:
                if chat.owner.id == demoted:
                    assert await chat.end() == (3003, "roles_changed")
            others = [chat for chat in others if chat.owner.id != demoted]
            assert all(await asyncio.gather(*(chat.echoes() for chat in others)))

            await asyncio.to_thread(stage.administrator, "POST", "/keys/withdraw-all")
            assert set(await asyncio.gather(*(chat.end() for chat in others))) == {(3000, "key_withdrawn")}
