"""Open connections: WebSockets and streams end when their caller's token does."""

from typing import Any

import pytest
from tests.guard.wire import Wire
from tests.guard.world import World

from watchword import Caller, Policy, anyone, role, signed_in
from watchword.guard import connections as module
from watchword.guard import lookout
from watchword.guard.asgi import Receive, Scope, Send

POLICY = Policy(
    ("GET", "/open", anyone),
    ("GET", "/editors", role("editor")),
    ("GET", "/**", signed_in),
)
LEFT = "websocket.disconnect"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps that do not end are cancelled soon, and clocks are looked at often."""
    monkeypatch.setattr(module, "GRACE", 0.02)
    monkeypatch.setattr(lookout, "TICK", 0.01)


class Echo:
    """An app that echoes on WebSockets, and keeps all that it has received and raised."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.callers: list[Caller] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the client leaves."""
        self.callers.append(scope["caller"])
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
            elif message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            else:
                return


async def accepted(wire: Wire) -> None:
    """The handshake is over, and the app echoes."""
    assert (await wire.hear())["type"] == "websocket.accept"
    wire.text("hello")
    assert (await wire.hear())["text"] == "hello"


class TestWebSockets:
    """What closes them, and how."""

    @pytest.mark.parametrize(
        ("scope", "id_", "reason", "code"),
        [
            ("user", "ada", "user_disabled", 3000),
            ("session", "s-1", "session_ended", 3000),
            ("client", "web", "client_revoked", 3000),
            ("token", "t-1", "token_revoked", 3000),
            ("everyone", "", "everything_expired", 3000),
            ("role", "editor", "roles_changed", 3003),
            ("user", "ada", "roles_changed", 3003),
        ],
    )
    async def test_a_cutoff_closes(self, world: World, scope: str, id_: str, reason: str, code: int) -> None:
        """The client is told why, the app that the client has left."""
        app = Echo()
        token = world.token(roles=["editor"], session="s-1", token_id="t-1")
        async with Wire(world.guard().asgi(app, POLICY), token) as wire:
            await accepted(wire)
            world.cut_off(scope, id_, reason)
            assert await wire.hear() == {"type": "websocket.close", "code": code, "reason": reason}
            assert await wire.end() == []
        assert app.received[-1] == {"type": LEFT, "code": code, "reason": reason}

    async def test_others_stay(self, world: World) -> None:
        """A cutoff ends whom it concerns, and nobody else; nor what was let in with a later token."""
        guard = world.guard()
        wall = guard.asgi(Echo(), POLICY)
        tokens = [world.token(subject=name, session=f"s-{name}") for name in ("ada", "bob", "cy")]
        async with Wire(wall, tokens[0]) as ada, Wire(wall, tokens[1]) as bob, Wire(wall, tokens[2]) as cy:
            for wire in (ada, bob, cy):
                await accepted(wire)
            assert guard.status().connections == 3
            world.cut_off("user", "bob", "signed_out")
            assert (await bob.hear())["reason"] == "signed_out"
            async with Wire(wall, world.token(subject="bob")) as again:
                await accepted(again)
                world.cut_off("session", "s-cy", "session_ended")
                assert (await cy.hear())["reason"] == "session_ended"
                for wire in (ada, again):
                    wire.text("still here")
                    assert (await wire.hear())["text"] == "still here"
                assert guard.status().connections == 2
        assert guard.status().connections == 0
