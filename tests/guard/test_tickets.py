"""One-use tickets: how a browser that cannot send ``Authorization`` opens a WebSocket."""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard.world import Answered, World, ask

from watchword import Policy, anyone, role, signed_in
from watchword.errors import Refused, TicketsUnavailable
from watchword.guard import ticket_office
from watchword.guard.asgi import App, Message, Receive, Scope, Send
from watchword.guard.handshakes import _without_ticket
from watchword.guard.tickets import SECONDS, MemoryTickets, Tickets

POLICY = Policy(
    ("GET", "/health", anyone),
    ("GET", "/chat", signed_in),
    ("GET", "/rooms/{id}", signed_in),
    ("GET", "/staff", role("editor")),
    ("POST", "/orders", signed_in),
)
JSON = [(b"content-type", b"application/json")]
IN = "websocket.accept"


class Seen:
    """An app behind the wall that accepts every WebSocket and keeps the scopes that it sees."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept, or answer 299."""
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
        else:
            await send({"type": "http.response.start", "status": 299, "headers": []})
            await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def seen() -> Seen:
    """The app."""
    return Seen()


@pytest.fixture
def tickets(world: World) -> Tickets:
    """On the world's clock."""
    return Tickets("/tickets", clock=world.clock)


@pytest.fixture
def app(world: World, seen: Seen, tickets: Tickets) -> App:
    """The app behind a wall with tickets."""
    return world.guard().asgi(seen, POLICY, tickets=tickets)


async def post(app: App, body: object, token: str | None = None, **scope: Any) -> Answered:
    """Ask for a ticket."""
    headers = scope.pop("headers", JSON)
    fields = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(app, "/tickets", "POST", headers=fields + headers, body=data, **scope)


async def ticket(app: App, token: str, path: str = "/chat", **scope: Any) -> str:
    """A ticket."""
    answer = await post(app, {"path": path}, token, **scope)
    assert answer.status == 201, answer.body
    return str(answer.json["ticket"])


async def handshake(app: App, query: str, path: str = "/chat", **scope: Any) -> str:
    """What became of a handshake: ``websocket.accept``, or the code of the refusal."""
    answer = await ask(app, path, type="websocket", query_string=query.encode(), **scope)
    first = answer.sent[0]
    return str(first["reason"] if first["type"] == "websocket.close" else first["type"])


class TestGiven:
    """``POST`` to the wall's own endpoint."""

    async def test_the_answer(self, app: App, world: World, seen: Seen) -> None:
        """201 with 256 random bits, which nothing may keep; the app does not hear of it."""
        answer = await post(app, {"path": "/chat"}, world.token())
        assert answer.status == 201
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-type") == "application/json"
        assert answer.header("content-length") == str(len(answer.body))
        assert [message["type"] for message in answer.sent] == ["http.response.start", "http.response.body"]
        assert answer.json.keys() == {"ticket", "expires_in"}
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", answer.json["ticket"])
        assert answer.json["expires_in"] == 30
        assert await ticket(app, world.token()) != answer.json["ticket"]
        assert not seen.scopes

    async def test_the_callers_own_refusal(self, app: App, world: World) -> None:
        """Who is refused at the handshake gets that refusal here: it says why, and a browser's handshake cannot."""
        assert (await post(app, {"path": "/chat"})).json["code"] == "no_token"
        assert (await post(app, {"path": "/chat"}, "rubbish")).json["code"] == "token_malformed"
        refused = await post(app, {"path": "/staff"}, world.token())
        assert (refused.status, refused.json["missing"]) == (403, ["role editor"])
        assert (await post(app, {"path": "/staff"}, world.token(roles=["editor"]))).status == 201
        assert (await post(app, {"path": "/orders"}, world.token())).json["code"] == "no_rule"
        world.cut_off("user", "ada", "signed_out")
        assert (await post(app, {"path": "/chat"}, world.token(position=None))).status == 401

    async def test_nobody_is_read_who_is_not_let_in(self, app: App, world: World) -> None:
        """The body of a stranger is not looked at."""
        answer = await post(app, b"x" * 100_000)
        assert answer.json["code"] == "no_token"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "invalid_request"),
            (b'{"path": "/chat", "path": "/chat"}', "invalid_request"),
            (b'["/chat"]', "invalid_request"),
            (b"\xff", "invalid_request"),
            ({}, "invalid_field"),
            ({"path": "/chat", "more": 1}, "invalid_field"),
            ({"path": 5}, "invalid_field"),
            ({"path": "chat"}, "invalid_field"),
            ({"path": "wss://orders.example/chat"}, "invalid_field"),
            ({"path": "/chat?room=1"}, "invalid_field"),
            ({"path": "/chat#1"}, "invalid_field"),
            ({"path": "/chat\n"}, "invalid_field"),
            ({"path": "/%ff"}, "invalid_field"),
            ({"path": "/health"}, "invalid_field"),
            ({"path": "//chat"}, "no_rule"),
            ({"path": "/rooms/%2e%2e"}, "no_rule"),
            ({"path": "/" + "x" * 5000}, "body_too_large"),
        ],
        ids=str,
    )
    async def test_bodies(self, app: App, world: World, body: object, code: str) -> None:
        """Strict JSON, of one member, which is the path of a URL that needs a caller."""
        answer = await post(app, body, world.token())
        assert answer.json["code"] == code

    @pytest.mark.parametrize(
        "headers", [[], [(b"content-type", b"text/plain")], [(b"content-type", b"application/json")] * 2]
    )
    async def test_content_types(self, app: App, world: World, headers: list[tuple[bytes, bytes]]) -> None:
        """Only what a page of another origin cannot send without being asked first."""
        answer = await post(app, {"path": "/chat"}, world.token(), headers=headers)
        assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")

    async def test_in_pieces(self, app: App, world: World) -> None:
        """A body may come in pieces; one that does not end is refused, and one that is given up is dropped."""
        assert (await _in_pieces(app, world, [b'{"path"', b': "/chat"}'])).status == 201
        assert (await _in_pieces(app, world, [b" " * 3000] * 2)).json["code"] == "body_too_large"
        assert not (await _in_pieces(app, world, [b'{"path"', None])).sent

    async def test_slow(self, app: App, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody holds a connection with a body that never comes."""
        monkeypatch.setattr(ticket_office, "_BODY_SECONDS", 0.001)

        async def never() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        assert (await _sent(app, world, never)).json["code"] == "body_too_slow"

    async def test_other_methods_are_the_apps(self, app: App, world: World, seen: Seen) -> None:
        """The wall takes one method at one path."""
        assert (await ask(app, "/tickets", token=world.token())).json["code"] == "no_rule"
        assert (await ask(app, "/orders", "POST", token=world.token())).status == 299
        assert len(seen.scopes) == 1

    async def test_below_a_root_path(self, app: App, world: World) -> None:
        """A page knows the whole path of its URL; the app is mounted below it. Either is understood."""
        for path in ("/shop/chat", "/chat"):
            answer = await ask(
                app,
                "/shop/tickets",
                "POST",
                root_path="/shop",
                headers=[(b"authorization", f"Bearer {world.token()}".encode()), *JSON],
                body=json.dumps({"path": path}).encode(),
            )
            shown = answer.json["ticket"]
            assert await handshake(app, f"ticket={shown}", "/shop/chat", root_path="/shop") == IN

    async def test_for_one_root_path(self, app: App, world: World) -> None:
        """Where an app is mounted twice, a ticket for one place opens nothing at the other."""
        shown = await ticket(app, world.token(), root_path="/shop")
        assert await handshake(app, f"ticket={shown}", "/store/chat", root_path="/store") == "invalid_ticket"

    async def test_as_in_a_url(self, app: App, world: World) -> None:
        """A path is spelled as in a URL: what the server decodes is decoded here."""
        shown = await ticket(app, world.token(), "/rooms/caf%C3%A9")
        assert await handshake(app, f"ticket={shown}", "/rooms/café") == IN

    async def test_so_many_for_one(self, world: World, seen: Seen) -> None:
        """One caller gets no more than is needed, and others get theirs; after 30 seconds there are new ones."""
        app = world.guard().asgi(seen, POLICY, tickets=Tickets("/t", per_subject=2, limit=3, clock=world.clock))

        async def wanted(subject: str) -> Answered:
            headers = [(b"authorization", f"Bearer {world.token(subject=subject)}".encode()), *JSON]
            return await ask(app, "/t", "POST", headers=headers, body=b'{"path":"/chat"}')

        assert [(await wanted("ada")).status for _ in range(3)] == [201, 201, 429]
        refused = await wanted("ada")
        assert (refused.json["code"], refused.header("retry-after")) == ("too_many_tickets", "30")
        assert [(await wanted(name)).status for name in ("bob", "eve")] == [201, 503]
        assert (await wanted("eve")).json["code"] == "tickets_unavailable"
        world.now += SECONDS
        assert [(await wanted("ada")).status for _ in range(3)] == [201, 201, 429]

    async def test_so_many_within_so_long(self, world: World, seen: Seen) -> None:
        """It is the last half minute that counts, whenever in it they were given."""
        app = world.guard().asgi(seen, POLICY, tickets=Tickets("/tickets", per_subject=3, clock=world.clock))
        outcomes = []
        for _ in range(6):
            outcomes.append((await post(app, {"path": "/chat"}, world.token())).status)
            world.now += SECONDS / 4
            world.learn()
        assert outcomes == [201, 201, 201, 429, 201, 201]
        one = world.guard().asgi(seen, POLICY, tickets=Tickets("/tickets", per_subject=1, limit=1, clock=world.clock))
        assert [(await post(one, {"path": "/chat"}, world.token())).status for _ in range(2)] == [201, 429]

    async def test_the_audit_log(self, app: App, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """The line of a refusal names the rule of the path that was wanted; no line holds a ticket."""
        caplog.set_level(logging.INFO, "watchword.decisions")
        refused = await post(app, {"path": "/staff"}, world.token())
        line = caplog.records[-1].__dict__
        assert (line["code"], line["path"], line["rule"]) == ("not_permitted", "/tickets", "role editor")
        assert line["decision"] == refused.json["decision"]
        shown = await ticket(app, world.token())
        await handshake(app, f"ticket={shown}")
        await handshake(app, f"ticket={shown}")
        assert shown not in caplog.text
        assert [record.__dict__["code"] for record in caplog.records[-2:]] == ["allowed", "invalid_ticket"]


async def _sent(app: App, world: World, receive: Callable[[], Any]) -> Answered:
    headers = [(b"authorization", f"Bearer {world.token()}".encode()), *JSON]
    scope = {"type": "http", "method": "POST", "path": "/tickets", "root_path": "", "headers": headers}
    sent: list[dict[str, Any]] = []

    async def send(message: Message) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return Answered(sent)


async def _in_pieces(app: App, world: World, pieces: list[bytes | None]) -> Answered:
    left = list(pieces)

    async def receive() -> Message:
        piece = left.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    return await _sent(app, world, receive)


class TestTaken:
    """The handshake."""

    async def test_once(self, app: App, world: World, seen: Seen) -> None:
        """A ticket lets its caller in, once; the app sees the caller, and no ticket."""
        shown = await ticket(app, world.token(roles=["reader"]))
        assert await handshake(app, f"room=1&ticket={shown}&x=%20") == IN
        assert await handshake(app, f"ticket={shown}") == "invalid_ticket"
        (scope,) = seen.scopes
        assert (scope["caller"].subject, scope["query_string"]) == ("ada", b"room=1&x=%20")
        assert scope["caller"].roles == {"reader"}

    async def test_the_app_sees_what_it_always_sees(self, app: App, world: World, seen: Seen) -> None:
        """The token is where other clients send it."""
        token = world.token()
        shown = await ticket(app, token)
        await handshake(app, f"ticket={shown}", headers=[(b"x-other", b"1")])
        assert seen.scopes[0]["headers"] == [(b"x-other", b"1"), (b"authorization", f"Bearer {token}".encode())]
        assert seen.scopes[0]["query_string"] == b""

    async def test_at_its_path(self, app: App, world: World) -> None:
        """It opens nothing else, and is spent by the attempt."""
        shown = await ticket(app, world.token())
        assert await handshake(app, f"ticket={shown}", "/rooms/1") == "invalid_ticket"
        assert await handshake(app, f"ticket={shown}") == "invalid_ticket"

    @pytest.mark.parametrize(("seconds", "outcome"), [(29.9, IN), (30.0, "invalid_ticket")])
    async def test_thirty_seconds(self, app: App, world: World, seconds: float, outcome: str) -> None:
        """By a clock that nobody sets."""
        shown = await ticket(app, world.token())
        world.now += seconds
        world.wall_time -= 10_000_000 if outcome != IN else 0
        world.learn()
        assert await handshake(app, f"ticket={shown}") == outcome

    async def test_revoked_in_between(self, app: App, world: World) -> None:
        """A ticket is worth what its token is worth when it is shown, and is spent then."""
        shown = await ticket(app, world.token(session="s1"))
        world.cut_off("session", "s1", "session_ended")
        assert await handshake(app, f"ticket={shown}") == "session_ended"
        assert await handshake(app, f"ticket={shown}") == "invalid_ticket"

    async def test_expired_in_between(self, app: App, world: World) -> None:
        """The same for time."""
        shown = await ticket(app, world.token())
        world.wall_time += 400
        assert await handshake(app, f"ticket={shown}") == "token_expired"

    async def test_a_stale_guard(self, app: App, world: World) -> None:
        """And for knowledge that is too old."""
        shown = await ticket(app, world.token())
        world.now += 29
        assert world.known is not None
        world.known = world.known._replace(as_of=world.now - 31)
        assert await handshake(app, f"ticket={shown}") == "guard_stale"

    async def test_beside_a_token(self, app: App, world: World) -> None:
        """Who shows two credentials has shown none, whichever they are; the ticket is spent."""
        shown = await ticket(app, world.token())
        headers = [(b"authorization", f"Bearer {world.token()}".encode())]
        assert await handshake(app, f"ticket={shown}", headers=headers) == "ambiguous_credentials"
        assert await handshake(app, f"ticket={shown}") == "invalid_ticket"
        one, two = await ticket(app, world.token()), await ticket(app, world.token())
        assert await handshake(app, f"ticket={one}&ticket={two}") == "ambiguous_credentials"

    @pytest.mark.parametrize(
        "query",
        ["ticket", "ticket=", "ticket=x", "ticket={}x", "ticket={}=", "ticket=%20{}", "%74icket={}", "ticket=é"],
    )
    async def test_other_spellings(self, app: App, world: World, query: str) -> None:
        """A ticket has one spelling; what an app would read as one too is refused, not passed on."""
        shown = await ticket(app, world.token())
        assert await handshake(app, query.format(shown)) == "invalid_ticket"

    @pytest.mark.parametrize("query", ["", "a", "tickets={}", "x=ticket={}", "Ticket={}"])
    async def test_no_ticket(self, app: App, world: World, query: str) -> None:
        """Other parameters are the app's."""
        shown = await ticket(app, world.token())
        assert await handshake(app, query.format(shown)) == "no_token"

    async def test_long_queries(self, app: App, world: World) -> None:
        """A query that is all separators is not looked through."""
        for others, outcome in ((255, IN), (256, "ambiguous_credentials")):
            shown = await ticket(app, world.token())
            assert await handshake(app, "&" * others + f"ticket={shown}") == outcome

    async def test_broken_scopes(self, app: App, world: World) -> None:
        """What no proper server makes is refused."""
        wrong: list[dict[str, Any]] = [{"query_string": None}, {"query_string": "ticket=x"}, {"headers": None}]
        for broken in (*wrong, {"headers": [b"x"]}):
            answer = await ask(app, "/chat", type="websocket", **broken)
            assert answer.sent[0]["reason"] == "ambiguous_credentials"
        without = await ask(app, "/chat", type="websocket")
        assert without.sent[0]["reason"] == "no_token"

    async def test_open_rows(self, app: App, world: World, seen: Seen) -> None:
        """Where anyone may, a ticket is what any parameter is."""
        shown = await ticket(app, world.token())
        assert await handshake(app, f"ticket={shown}", "/health") == IN
        assert seen.scopes[0]["query_string"] == f"ticket={shown}".encode()
        assert await handshake(app, f"ticket={shown}") == IN

    async def test_not_for_requests(self, app: App, world: World) -> None:
        """A ticket opens WebSockets only."""
        shown = await ticket(app, world.token())
        assert (await ask(app, "/chat", query_string=f"ticket={shown}".encode())).json["code"] == "no_token"

    async def test_not_unless_asked_for(self, world: World, seen: Seen) -> None:
        """Without tickets by name the endpoint is the app's, and the parameter too."""
        plain = world.guard().asgi(seen, Policy(("*", "/**", signed_in)))
        assert (await post(plain, {"path": "/chat"}, world.token())).status == 299
        assert await handshake(plain, "ticket=x", token=world.token()) == IN
        assert seen.scopes[1]["query_string"] == b"ticket=x"

    async def test_a_name_of_ones_own(self, world: World, seen: Seen) -> None:
        """An app whose query has tickets already names ours otherwise."""
        own = Tickets("/tickets", parameter="pass", clock=world.clock)
        app = world.guard().asgi(seen, POLICY, tickets=own)
        shown = await ticket(app, world.token())
        assert await handshake(app, f"ticket=4711&pass={shown}") == IN
        assert seen.scopes[0]["query_string"] == b"ticket=4711"

    async def test_a_race(self, app: App, world: World) -> None:
        """Of fifty handshakes with one ticket, one gets in."""
        shown = await ticket(app, world.token())
        outcomes = await asyncio.gather(*(handshake(app, f"ticket={shown}") for _ in range(50)))
        assert sorted(outcomes) == ["invalid_ticket"] * 49 + [IN]


class TestStores:
    """What is kept, and stores that fail."""

    async def test_what_is_kept_is_sealed(self, world: World, seen: Seen) -> None:
        """Neither a name nor a value says anything of the ticket, the token or the caller, and no name is twice."""
        kept: dict[str, bytes] = {}

        class Store(MemoryTicketsLike):
            async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
                assert (len(name), seconds) == (64, 30)
                kept[name] = sealed

        app = world.guard().asgi(seen, POLICY, tickets=Tickets("/tickets", Store()))
        token = world.token()
        shown = [await ticket(app, token) for _ in range(2)]
        assert len(kept) == 2
        for name, sealed in kept.items():
            for part in (*shown, *token.split("."), "ada", "chat"):
                assert part.encode() not in sealed
                assert part not in name

    async def test_what_was_changed_in_the_store(self, world: World, seen: Seen) -> None:
        """Who writes to the store gets nobody in."""

        class Store(MemoryTicketsLike):
            async def take(self, name: str) -> bytes | None:
                return b"x" * 100 if len(self.kept) == 1 else next(iter(self.kept.values()))

        store = Store()
        app = world.guard().asgi(seen, POLICY, tickets=Tickets("/tickets", store))
        assert await handshake(app, f"ticket={await ticket(app, world.token())}") == "invalid_ticket"
        assert await handshake(app, f"ticket={await ticket(app, world.token())}") == "invalid_ticket"

    async def test_a_store_that_fails(self, world: World, seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
        """Nobody gets in through a store that is away, and its operator reads what it said."""

        class Store(MemoryTicketsLike):
            async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
                raise OSError("disk full")

            async def take(self, name: str) -> bytes | None:
                raise OSError("away")

        app = world.guard().asgi(seen, POLICY, tickets=Tickets("/tickets", Store()))
        answer = await post(app, {"path": "/chat"}, world.token())
        assert (answer.status, answer.json["code"]) == (503, "tickets_unavailable")
        assert answer.header("retry-after") == "1"
        assert b"disk" not in answer.body
        assert caplog.records[-1].levelname == "WARNING"
        assert caplog.records[-1].__dict__["detail"] == "the store failed to keep: OSError('disk full')"
        assert await handshake(app, "ticket=" + "x" * 43) == "tickets_unavailable"
        with pytest.raises(TicketsUnavailable, match="away"):
            await Tickets("/tickets", Store()).take("x" * 43, "/chat")

    async def test_memory_is_given_back(self, world: World) -> None:
        """What nobody took does not stay."""
        store = MemoryTickets(clock=world.clock)
        for number in range(10):
            await store.keep(str(number), b"", SECONDS)
            world.now += 10
        assert len(store) == 3


class MemoryTicketsLike:
    """A store to be changed."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
        """Keep."""
        self.kept[name] = sealed

    async def take(self, name: str) -> bytes | None:
        """Take."""
        return self.kept.pop(name, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "tickets"},
        {"path": "/tickets/{id}"},
        {"path": "/**"},
        {"path": "//"},
        {"path": "/t", "parameter": ""},
        {"path": "/t", "parameter": "a&b"},
        {"path": "/t", "per_subject": 0},
        {"path": "/t", "per_subject": 2, "limit": 1},
    ],
    ids=str,
)
def test_what_cannot_be_meant(wrong: dict[str, Any]) -> None:
    """At the start, not at the first request."""
    with pytest.raises(ValueError, match=r"tickets|pattern"):
        Tickets(**wrong)


def test_a_row_for_the_same_path(world: World, seen: Seen) -> None:
    """The endpoint is the wall's: a row for it could never be reached."""
    with pytest.raises(ValueError, match="never be reached"):
        world.guard().asgi(seen, Policy(("POST", "/tickets", signed_in)), tickets=Tickets("/tickets"))


def test_shown_nowhere() -> None:
    """A representation says where, and no more."""
    assert repr(Tickets("/tickets")) == "Tickets('/tickets')"


@given(st.lists(st.sampled_from(["ticket", "%74icket", "=", "&", "x", "%", "+", ";", "a" * 43, "ticket=" + "b" * 43])))
def test_whatever_the_query(parts: list[str]) -> None:
    """No app ever reads a parameter of that name, and all others stay as they were; or the handshake is refused."""
    query = "".join(parts)
    try:
        rest, shown = _without_ticket(query.encode(), b"ticket")
    except Refused:
        return
    before, after = (parse_qsl(text, keep_blank_values=True) for text in (query, rest.decode()))
    assert [pair for pair in before if pair[0] != "ticket"] == after
    assert (shown is not None) == any(name == "ticket" for name, _ in before)
