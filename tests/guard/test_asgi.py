"""The wall: what passes it, what does not, and how that is told."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from tests.guard.world import World, ask

from watchword import Policy, anyone, errors, owner, role, signed_in
from watchword.guard.asgi import App, Message, Receive, Scope, Send

POLICY = Policy(
    ("GET", "/health", anyone),
    ("GET", "/orders", signed_in),
    ("POST", "/orders", role("editor")),
    ("*", "/admin/**", role("admin")),
)
Act = Callable[[Scope, Receive, Send], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells who calls."""
    caller = scope["caller"]
    await PlainTextResponse(caller.subject if caller else "nobody")(scope, receive, send)


def denied(app_: App = app) -> App:
    """An app that must not be reached."""

    async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was reached")

    return unreachable


class TestHttp:
    """Requests."""

    async def test_passes(self, world: World) -> None:
        """Who satisfies the rule reaches the app, which reads the caller."""
        wall = world.guard().asgi(app, POLICY)
        answered = await ask(wall, token=world.token())
        assert (answered.status, answered.body) == (200, b"ada")
        assert (await ask(wall, method="POST", token=world.token(roles=["editor"]))).body == b"ada"

    @pytest.mark.parametrize(
        ("method", "path", "status", "code"),
        [
            ("GET", "/orders", 401, "no_token"),
            ("OPTIONS", "/orders", 401, "no_token"),
            ("GET", "/nowhere", 401, "no_token"),
            ("POST", "/health", 401, "no_token"),
            ("GET", "//health", 401, "no_token"),
        ],
    )
    async def test_without_a_token(self, world: World, method: str, path: str, status: int, code: str) -> None:
        """Only open rows are open, under their one spelling and method."""
        answered = await ask(world.guard().asgi(denied(), POLICY), path, method)
        assert (answered.status, answered.json["code"]) == (status, code)
        assert answered.header("www-authenticate") == 'Bearer realm="orders"'

    async def test_forbidden(self, world: World) -> None:
        """A missing role is named; the caller's own roles are not."""
        token = world.token(roles=["reader"])
        answered = await ask(world.guard().asgi(denied(), POLICY), method="POST", token=token)
        assert (answered.status, answered.json["missing"]) == (403, ["role editor"])
        assert answered.json["title"] == "This needs role editor."
        assert b"reader" not in answered.body
        assert 'error="insufficient_scope"' in (answered.header("www-authenticate") or "")

    async def test_open_rows(self, world: World) -> None:
        """Open rows ignore tokens, good, bad and doubled, and stay open when the guard knows nothing."""
        wall = world.guard().asgi(app, POLICY)
        for token in (None, "bad", world.token(), "a, b"):
            answered = await ask(wall, "/health", token=token, caller="somebody")
            assert (answered.status, answered.body) == (200, b"nobody")
        world.forget_everything()
        assert (await ask(wall, "/health", "HEAD")).status == 200
        for headers in ([(b"authorization", b"x")] * 2, [(b"authorization", None)], None):
            assert (await ask(wall, "/health", headers=headers)).status == 200
        refused = await ask(wall, token=world.token())
        assert (refused.status, refused.header("retry-after")) == (503, "1")

    async def test_tokens_elsewhere(self, world: World) -> None:
        """A token is looked for in one place only."""
        token = world.token().encode()
        wall = world.guard().asgi(denied(), POLICY)
        names = (b"x-authorization", b"proxy-authorization", b"cookie", b"authorization2", b"x-access-token")
        for name in (*names, b"if-none-match"):
            answered = await ask(wall, headers=[(name, b"Bearer " + token)], query_string=b"access_token=" + token)
            assert answered.json["code"] == "no_token"

    async def test_a_name_as_long(self, world: World) -> None:
        """A header whose name is as long as that of Authorization is another header."""
        headers = [(b"if-none-match", b"x"), (b"authorization", b"Bearer " + world.token().encode())]
        assert (await ask(world.guard().asgi(app, POLICY), headers=headers)).body == b"ada"

    async def test_two_fields(self, world: World) -> None:
        """Two Authorization fields are 400, however they are spelled and even if both are good."""
        field = b"Bearer " + world.token().encode()
        answered = await ask(
            world.guard().asgi(denied(), POLICY), headers=[(b"authorization", field), (b"Authorization", field)]
        )
        assert (answered.status, answered.json["code"]) == (400, "ambiguous_credentials")

    async def test_what_takes_no_part(self, world: World) -> None:
        """The raw path, Host, forwarding and override headers decide nothing."""
        headers = [
            (b"host", b"localhost"),
            (b"x-forwarded-prefix", b"/health"),
            (b"x-original-url", b"/health"),
            (b"x-http-method-override", b"GET"),
        ]
        wall = world.guard().asgi(denied(), POLICY)
        assert (await ask(wall, "/admin", "POST", headers=headers, raw_path=b"/health")).status == 401

    @pytest.mark.parametrize(
        "broken",
        [
            {"headers": None},
            {"headers": [b"authorization"]},
            {"headers": [("authorization", "Bearer x")]},
            {"headers": [(b"authorization", "Bearer x")]},
            {"headers": [(b"authorization", None)]},
            {"headers": {}},
            {"path": None},
            {"path": b"/health"},
            {"path": 5},
            {"method": None},
            {"method": 5},
            {"root_path": None},
        ],
        ids=str,
    )
    async def test_broken_scopes(self, world: World, broken: dict[str, Any]) -> None:
        """A scope that no proper server makes is denied, and nothing crashes."""
        scope = {"path": "/health", "headers": [(b"authorization", b"Bearer x")]} | broken
        if "headers" in broken:
            scope["path"] = "/orders"
        answered = await ask(world.guard().asgi(denied(), POLICY), **scope)
        assert answered.status in (400, 401)

    async def test_missing_members(self, world: World) -> None:
        """So is one that lacks its members."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {}

        await world.guard().asgi(denied(), POLICY)({"type": "http"}, receive, send)
        assert sent[0]["status"] == 400
        sent.clear()
        for kind in ("other", None, 5):
            await world.guard().asgi(denied(), POLICY)({"type": kind}, receive, send)
        await world.guard().asgi(denied(), POLICY)({}, receive, send)
        assert not sent

    async def test_the_scope_is_copied(self, world: World) -> None:
        """What the server holds is not written to, and an identity that it brought is not believed."""
        seen: list[Scope] = []

        async def look(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope)
            await app(scope, receive, send)

        given: dict[str, Any] = {"type": "http", "method": "GET", "path": "/orders", "caller": "root"}
        given["headers"] = [(b"authorization", b"Bearer " + world.token().encode())]
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {}

        await world.guard().asgi(look, POLICY)(given, receive, send)
        assert given["caller"] == "root"
        assert seen[0]["caller"].subject == "ada"

    async def test_below_a_root_path(self, world: World) -> None:
        """The path that is judged is the one below the root path."""
        wall = world.guard().asgi(app, POLICY)
        assert (await ask(wall, "/shop/health", root_path="/shop")).status == 200
        assert (await ask(wall, "/shophealth", root_path="/shop")).status == 401
        assert (await ask(wall, "/health/admin", root_path="/health")).status == 401

    async def test_under_a_mount(self, world: World) -> None:
        """A wall around a mounted app judges what that app's router sees."""
        inner = world.guard().asgi(Starlette(routes=[Route("/health", PlainTextResponse("ok"))]), POLICY)
        outer = Starlette(routes=[Mount("/shop", app=inner), Mount("/", app=denied())])
        assert (await ask(outer, "/shop/health")).status == 200
        assert (await ask(outer, "/shop/orders")).status == 401
        assert (await ask(outer, "/shop//health")).status == 401
        assert (await ask(outer, "/shop/admin/health")).status == 401

    def test_an_app_that_moves_itself(self, world: World) -> None:
        """An app with its own root path would route ``/api/admin`` as ``/admin`` behind the wall's back."""
        shop = FastAPI()
        world.guard().asgi(shop, POLICY)
        shop.root_path = "/api"
        with pytest.raises(ValueError, match="root_path"):
            world.guard().asgi(shop, POLICY)

    async def test_a_method_that_is_none(self, world: World) -> None:
        """A row for every method is for every method: a scope without one has no row."""
        wall = world.guard().asgi(app, Policy(("*", "/open", anyone), ("*", "/**", signed_in)))
        for method in (None, b"GET", 5, ""):
            answered = await ask(wall, "/open", method=method)  # type: ignore[arg-type]
            assert answered.status == 401
            answered = await ask(wall, "/orders", method=method, token=world.token())  # type: ignore[arg-type]
            assert answered.json["code"] == "no_rule"

    @pytest.mark.parametrize("extensions", [5, True, "websocket.http.response", None, []])
    async def test_extensions_that_are_none(self, world: World, extensions: Any) -> None:
        """A handshake is denied, whatever stands where the server's extensions belong."""
        answered = await ask(world.guard().asgi(denied(), POLICY), "/orders", type="websocket", extensions=extensions)
        assert [message["type"] for message in answered.sent] == ["websocket.close"]

    @pytest.mark.parametrize(
        "sent",
        [
            [{"type": "websocket.close"}],
            [{"type": "websocket.accept"}, {"type": "websocket.close"}],
            [
                {"type": "websocket.http.response.start", "status": 404, "headers": []},
                {"type": "websocket.http.response.body", "body": b""},
            ],
        ],
    )
    async def test_nothing_follows_a_close(self, world: World, sent: list[Any]) -> None:
        """A refusal that an app raises after it has ended its WebSocket has nobody to be told to."""

        async def close(scope: Scope, receive: Receive, send: Send) -> None:
            for message in sent:
                await send(message)
            raise errors.NotPermitted("too late", missing=[])

        answered = await ask(world.guard().asgi(close, POLICY), "/orders", type="websocket", token=world.token())
        assert answered.sent == sent

    async def test_headers_that_can_be_read_once(self, world: World) -> None:
        """The app reads the headers too."""
        seen: list[Any] = []

        async def read(scope: Scope, receive: Receive, send: Send) -> None:
            seen.extend(scope["headers"])
            await app(scope, receive, send)

        headers = [(b"authorization", f"Bearer {world.token()}".encode()), (b"x", b"y")]
        assert (await ask(world.guard().asgi(read, POLICY), "/orders", headers=iter(headers))).status == 200
        assert seen == headers

    async def test_lifespan_passes(self, world: World) -> None:
        """The app's own start-up is not in the way."""
        with TestClient(world.guard().asgi(Starlette(), POLICY)):
            pass


class TestRefusedInside:
    """What the app refuses after the wall let the request through."""

    @pytest.fixture
    def wall(self, world: World) -> Callable[[Callable[[Request], Any]], App]:
        """A wall around an app in which another is mounted that has this one handler, sync or async."""

        def made(handler: Callable[[Request], Any]) -> App:
            inner = Starlette(routes=[Route("/x", handler)])
            outer = Starlette(routes=[Route("/direct", handler), Mount("/mounted", app=inner)])
            return world.guard().asgi(outer, Policy(("*", "/**", signed_in)))

        return made

    @pytest.mark.parametrize("path", ["/direct", "/mounted/x"])
    @pytest.mark.parametrize("kind", ["async", "sync"])
    async def test_require(self, wall: Any, world: World, path: str, kind: str) -> None:
        """A rule about an object refuses with 403, in a mounted app too, where it would become a 500."""

        async def handler(request: Request) -> Response:
            request.scope["caller"].require(owner("bob") | role("admin"))
            raise AssertionError

        def sync_handler(request: Request) -> Response:
            request.scope["caller"].require(owner("bob") | role("admin"))
            raise AssertionError

        answered = await ask(wall(handler if kind == "async" else sync_handler), path, token=world.token())
        assert (answered.status, answered.json["missing"]) == (403, ["ownership or role admin"])
        assert [message["type"] for message in answered.sent] == ["http.response.start", "http.response.body"]

    @pytest.mark.parametrize("path", ["/direct", "/mounted/x"])
    def test_in_a_group(self, wall: Any, world: World, path: str) -> None:
        """A refusal among the errors of a task group is told; a group without one stays the app's error."""

        async def refused(request: Request) -> Response:
            raise ExceptionGroup("tasks", [ValueError(), ExceptionGroup("inner", [errors.NotFound("no order 7")])])

        async def broken(request: Request) -> Response:
            raise ExceptionGroup("tasks", [ValueError()])

        for handler, status, text in ((refused, 404, "not_found"), (broken, 500, "Internal Server Error")):
            client = TestClient(wall(handler), raise_server_exceptions=False)
            answer = client.get(path, headers={"Authorization": f"Bearer {world.token()}"})
            assert (answer.status_code, text in answer.text) == (status, True)

    @pytest.mark.parametrize("path", ["/direct", "/mounted/x"])
    async def test_other_refusals(self, wall: Any, world: World, path: str) -> None:
        """Any refusal that the app raises is answered as what it is."""

        async def handler(request: Request) -> Response:
            raise errors.NotFound("no such order")

        answered = await ask(wall(handler), path, token=world.token())
        assert (answered.status, answered.json["code"]) == (404, "not_found")

    async def test_another_framework(self, world: World) -> None:
        """A server error that is sent after the refusal was dealt with is the refusal's, too."""

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                scope["caller"].require(role("admin"))
            except errors.Refused:
                response = PlainTextResponse("oops", 500)
            await response(scope, receive, send)

        answered = await ask(world.guard().asgi(inner, POLICY), token=world.token())
        assert (answered.status, answered.json["missing"]) == (403, ["role admin"])
        assert b"oops" not in answered.body

    async def test_an_answer_that_is_meant(self, world: World) -> None:
        """An app that dealt with a refusal, and is out of order for another reason, says so itself."""

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            with contextlib.suppress(errors.Refused):
                scope["caller"].require(role("admin"))
            await PlainTextResponse("later", 503, {"Retry-After": "7"})(scope, receive, send)

        answered = await ask(world.guard().asgi(inner, POLICY), token=world.token())
        assert (answered.status, answered.body, answered.header("retry-after")) == (503, b"later", "7")

    async def test_respected(self, wall: Any, world: World) -> None:
        """A handler that catches the refusal and answers by itself is respected."""

        async def handler(request: Request) -> Response:
            try:
                request.scope["caller"].require(role("admin"))
            except errors.NotPermitted:
                return PlainTextResponse("less", 206)
            raise AssertionError

        answered = await ask(wall(handler), "/mounted/x", token=world.token())
        assert (answered.status, answered.body) == (206, b"less")

    async def test_bugs_stay_bugs(self, wall: Any, world: World) -> None:
        """A server error that has nothing to do with a refusal stays one, even if something was refused before."""

        async def handler(request: Request) -> Response:
            with contextlib.suppress(errors.NotPermitted):
                request.scope["caller"].require(role("admin"))
            raise ZeroDivisionError

        answer = TestClient(wall(handler), raise_server_exceptions=False).get(
            "/mounted/x", headers={"Authorization": f"Bearer {world.token()}"}
        )
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")

        async def busy(request: Request) -> Response:
            raise HTTPException(502)

        assert (await ask(wall(busy), "/mounted/x", token=world.token())).status == 502

    async def test_too_late(self, wall: Any, world: World) -> None:
        """Once the answer has begun, a refusal can only break it off."""

        async def body(caller: Any) -> Any:
            yield b"half"
            caller.require(role("admin"))

        async def handler(request: Request) -> Response:
            return StreamingResponse(body(request.scope["caller"]))

        with pytest.raises(BaseException, match=r".") as raised:
            await ask(wall(handler), "/direct", token=world.token())
        assert "not_permitted" in repr(raised.getrepr())


class TestWebSockets:
    """Handshakes."""

    @pytest.fixture
    def client(self, world: World) -> TestClient:
        """An app with one WebSocket that echoes the caller, and refuses on request."""

        async def echo(socket: WebSocket) -> None:
            if "early" in socket.query_params:
                socket.scope["caller"].require(role("admin"))
            await socket.accept()
            if "late" in socket.query_params:
                socket.scope["caller"].require(role("admin"))
            await socket.send_text(socket.scope["caller"].subject)
            await socket.close()

        policy = Policy(("GET", "/ws", signed_in), ("GET", "/admin", role("admin")), ("POST", "/post", signed_in))
        routes = [WebSocketRoute(path, echo) for path in ("/ws", "/admin", "/post", "/none")]
        return TestClient(world.guard().asgi(Starlette(routes=routes), policy))

    def test_passes(self, client: TestClient, world: World) -> None:
        """A good token at the handshake opens it."""
        with client.websocket_connect("/ws", headers={"Authorization": f"Bearer {world.token()}"}) as socket:
            assert socket.receive_text() == "ada"

    @pytest.mark.parametrize(
        ("path", "status"), [("/ws", 401), ("/admin", 403), ("/post", 403), ("/none", 403), ("/ws?early", 403)]
    )
    def test_denied_before_accept(self, client: TestClient, world: World, path: str, status: int) -> None:
        """Where the server can, a denied handshake gets the whole answer."""
        headers = {} if path == "/ws" else {"Authorization": f"Bearer {world.token()}"}
        with pytest.raises(WebSocketDisconnect) as denial, client.websocket_connect(path, headers=headers):
            pass
        assert getattr(denial.value, "status_code", None) == status

    def test_refused_after_accept(self, client: TestClient, world: World) -> None:
        """A refusal on an open socket closes it with its code."""
        with client.websocket_connect("/ws?late", headers={"Authorization": f"Bearer {world.token()}"}) as socket:
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert (closed.value.code, closed.value.reason) == (3003, "not_permitted")

    async def test_servers_without_the_extension(self, world: World) -> None:
        """Elsewhere it is closed before it was accepted."""
        nothing: list[dict[str, Any] | None] = [{}, None]
        for extensions in nothing:
            answered = await ask(world.guard().asgi(denied(), POLICY), type="websocket", extensions=extensions)
            assert answered.sent == [{"type": "websocket.close", "code": 3000, "reason": "no_token"}]
