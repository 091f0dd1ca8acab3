"""A token after a named subprotocol: the other way in for browsers, where the service asks for it."""

from typing import Any

import pytest
from tests.guard.test_tickets import JSON, POLICY, Seen
from tests.guard.world import Answered, World, ask

from watchword.guard.asgi import App, Receive, Scope, Send
from watchword.guard.tickets import Tickets

MARKER = "watchword.bearer"
HEADER = b"sec-websocket-protocol"


@pytest.fixture
def seen() -> Seen:
    """The app."""
    return Seen()


@pytest.fixture
def app(world: World, seen: Seen) -> App:
    """The app behind a wall that takes the subprotocol."""
    return world.guard().asgi(seen, POLICY, subprotocol=MARKER)


async def offer(app: App, *fields: str, path: str = "/chat", **scope: Any) -> Answered:
    """A handshake with these fields; the server has split them, as servers do."""
    headers = [(HEADER, field.encode()) for field in fields] + scope.pop("headers", [])
    offered = [part.strip() for field in fields for part in field.split(",")]
    return await ask(app, path, type="websocket", headers=headers, subprotocols=offered, **scope)


def outcome(answered: Answered) -> str:
    """``websocket.accept``, or the code of the refusal."""
    first = answered.sent[0]
    return str(first["reason"] if first["type"] == "websocket.close" else first["type"])


class TestLetIn:
    """Who offers a good token."""

    async def test_alone(self, app: App, world: World, seen: Seen) -> None:
        """The token is out of the offer and where other clients send it; the answer is the name, and no token."""
        token = world.token()
        answered = await offer(app, f"{MARKER}, {token}", headers=[(b"x-other", b"1")])
        assert answered.sent[0] == {"type": "websocket.accept", "subprotocol": MARKER}
        (scope,) = seen.scopes
        assert scope["caller"].subject == "ada"
        assert scope["subprotocols"] == []
        assert scope["headers"] == [(b"x-other", b"1"), (b"authorization", f"Bearer {token}".encode())]
        assert token not in repr(answered.sent)

    @pytest.mark.parametrize("form", ["chat,{0},{1},more", "chat , {0} ,\t{1}, more ,", "{0}, {1}, chat, more"])
    async def test_beside_others(self, app: App, world: World, seen: Seen, form: str) -> None:
        """The app sees what else is offered, in the scope and in the header."""
        assert outcome(await offer(app, form.format(MARKER, world.token()))) == "websocket.accept"
        assert seen.scopes[0]["subprotocols"] == ["chat", "more"]
        assert dict(seen.scopes[0]["headers"])[HEADER] == b"chat, more"

    async def test_in_several_fields(self, app: App, world: World, seen: Seen) -> None:
        """Fields that a proxy has split are one list (RFC 6455 section 11.3.4), however they are spelled."""
        fields = [(b"Sec-WebSocket-Protocol", b"chat"), (HEADER, f"{MARKER}, {world.token()}".encode())]
        answered = await ask(app, "/chat", type="websocket", headers=fields, subprotocols=["chat"])
        assert outcome(answered) == "websocket.accept"
        assert seen.scopes[0]["subprotocols"] == ["chat"]
        assert seen.scopes[0]["headers"][0] == (HEADER, b"chat")

    @pytest.mark.parametrize(("chosen", "answer"), [("chat", "chat"), (None, MARKER)])
    async def test_the_apps_choice(self, world: World, chosen: str | None, answer: str) -> None:
        """What the app chooses stays its choice; where it chooses none, the name is the answer."""

        async def choosing(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
            await send({"type": "websocket.send", "text": "hello"})
            await send({"type": "websocket.close", "code": 1000})

        wall = world.guard().asgi(choosing, POLICY, subprotocol=MARKER)
        answered = await offer(wall, f"chat, {MARKER}, {world.token()}")
        assert answered.sent == [
            {"type": "websocket.accept", "subprotocol": answer, "headers": []},
            {"type": "websocket.send", "text": "hello"},
            {"type": "websocket.close", "code": 1000},
        ]

    async def test_a_header_still_does(self, app: App, world: World, seen: Seen) -> None:
        """Who can send ``Authorization`` does, and what is offered is the app's own."""
        answered = await offer(app, "chat", headers=[(b"authorization", f"Bearer {world.token()}".encode())])
        assert answered.sent[0] == {"type": "websocket.accept"}
        assert seen.scopes[0]["subprotocols"] == ["chat"]
        assert seen.scopes[0]["headers"][0] == (HEADER, b"chat")


class TestRefused:
    """Who does not."""

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            ("{0}, rubbish", "token_malformed"),
            ("{0}, {1} x", "token_malformed"),
            ("{0}", "ambiguous_credentials"),
            ("{1}, {0}", "ambiguous_credentials"),
            ("{0}, {1}, {0}, {1}", "ambiguous_credentials"),
            ("{0}, {0}, {1}", "ambiguous_credentials"),
            ("Watchword.Bearer, {1}", "no_token"),
            ("{0}.{1}", "no_token"),
            ("{1}", "no_token"),
            ("{0}, é", "ambiguous_credentials"),
            ("a," * 254 + "{0}, {1}, b", "ambiguous_credentials"),
            ("", "no_token"),
        ],
    )
    async def test_other_offers(self, app: App, world: World, form: str, code: str) -> None:
        """One name as it is spelled, and one token right after it."""
        assert outcome(await offer(app, form.format(MARKER, world.token()))) == code

    async def test_revoked(self, app: App, world: World) -> None:
        """The token is judged as every other."""
        token = world.token()
        world.cut_off("user", "ada", "signed_out")
        assert outcome(await offer(app, f"{MARKER}, {token}")) == "signed_out"

    async def test_beside_another_credential(self, world: World, seen: Seen) -> None:
        """Two credentials are none, whichever they are."""
        app = world.guard().asgi(seen, POLICY, subprotocol=MARKER, tickets=Tickets("/tickets", clock=world.clock))
        field = (b"authorization", f"Bearer {world.token()}".encode())
        given = await ask(app, "/tickets", "POST", headers=[field, *JSON], body=b'{"path": "/chat"}')
        both = {"query_string": f"ticket={given.json['ticket']}".encode()}
        for other in ({"headers": [field]}, both):
            answered = await offer(app, f"{MARKER}, {world.token()}", **other)
            assert outcome(answered) == "ambiguous_credentials"

    async def test_for_anyone(self, app: App, world: World, seen: Seen) -> None:
        """Open rows take no token, and answer nothing that the app does not."""
        answered = await offer(app, f"{MARKER}, {world.token()}", path="/health")
        assert answered.sent[0] == {"type": "websocket.accept"}
        assert seen.scopes[0]["caller"] is None

    async def test_not_for_requests(self, app: App, world: World) -> None:
        """It is a way for WebSockets only."""
        fields = [(HEADER, f"{MARKER}, {world.token()}".encode())]
        assert (await ask(app, "/chat", headers=fields)).json["code"] == "no_token"

    async def test_not_unless_asked_for(self, world: World, seen: Seen) -> None:
        """Without the name, it is an offer like any other."""
        wall = world.guard().asgi(seen, POLICY)
        assert outcome(await offer(wall, f"{MARKER}, {world.token()}")) == "no_token"


@pytest.mark.parametrize("name", ["", "two words", "a,b", "a;b", "é"])
def test_no_name(world: World, seen: Seen, name: str) -> None:
    """A name that no handshake could carry is a mistake at the start."""
    with pytest.raises(ValueError, match="subprotocol"):
        world.guard().asgi(seen, POLICY, subprotocol=name)
