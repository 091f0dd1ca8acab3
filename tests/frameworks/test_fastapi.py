"""FastAPI: the wall around an app, and callers in handlers."""

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnect

from watchword import Caller, Guard, Issuer, Key, Policy, Tickets, anyone, owner, permission, role, scope, signed_in
from watchword.frameworks.fastapi import need, protect

ISSUER = "https://auth.example"
SignedIn = Annotated[Caller, need()]
Editor = Annotated[Caller, need(role("editor") & permission("orders:write"))]


class Order(BaseModel):
    """A body."""

    text: str


@pytest.fixture
def issuer(keys: Mapping[str, Key]) -> Issuer:
    """Mints."""
    return Issuer(ISSUER, keys["Ed25519"])


@pytest.fixture
def guard(keys: Mapping[str, Key]) -> Guard:
    """A guard with fixed keys."""
    return Guard(ISSUER, audience="orders", keys=keys["Ed25519"].public, roles={"editor": ["orders:*"]})


def bearer(issuer: Issuer, **claims: Any) -> dict[str, str]:
    """Ada's header."""
    token = issuer.mint(subject="ada", audience="orders", client="web", **claims)
    return {"Authorization": f"Bearer {token}"}


def shop(guard: Guard, **settings: Any) -> FastAPI:
    """An app with routes of all kinds, protected."""
    app = FastAPI(lifespan=guard.lifespan)
    settings.setdefault("open", ["/health", "/docs", "/openapi.json"])

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/health")
    def change_health() -> str:
        return "changed"

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    @app.get("/me")
    async def me(caller: SignedIn) -> str:
        return caller.subject

    @app.put("/orders/{number}")
    async def change(number: int, order: Order, caller: Editor) -> list[str]:
        caller.require(owner("ada" if number == 1 else "bob") | role("admin"))
        return [caller.subject, order.text]

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, caller: Editor) -> None:
        await websocket.accept()
        await websocket.send_text(caller.subject)
        await websocket.close()

    router = APIRouter(prefix="/included")

    @router.get("/read")
    def read(caller: Annotated[Caller, need(scope("read"))]) -> str:
        return caller.subject

    inner = FastAPI()

    @inner.get("/x/{whose}")
    def mounted(whose: str, caller: SignedIn) -> str:
        caller.require(owner(whose))
        return caller.subject

    @inner.get("/editor")
    def for_editors(caller: Editor) -> str:
        return caller.subject

    app.mount("/mounted", inner)
    app.add_middleware(CORSMiddleware, allow_origins=["https://web.example"], allow_headers=["authorization"])
    protect(app, guard, **settings)
    app.include_router(router)
    return app


@pytest.fixture
def client(guard: Guard) -> TestClient:
    """The shop's client; an error inside is an answer, as for users."""
    return TestClient(shop(guard), raise_server_exceptions=False)


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_open(client: TestClient, path: str) -> None:
    """Open paths are open to GET and HEAD, whatever the Authorization field says."""
    assert client.get(path).status_code == 200
    assert client.get(path, headers={"Authorization": "Bearer rubbish"}).status_code == 200
    assert client.head(path).status_code in (200, 405)
    assert client.post(path).status_code == 401


SHUT = (
    "/ /plain /me /redoc /docs/oauth2-redirect /mounted/docs /mounted/openapi.json /mounted/x/ada /included/read "
    "/nowhere /health/ /docs/ //health /%2e%2e/health /mounted/..%2fhealth"
)


@pytest.mark.parametrize("path", SHUT.split(" "))
def test_all_else_is_shut(client: TestClient, path: str, issuer: Issuer) -> None:
    """Every other path needs a caller: routes without need(), included ones, mounts and docs pages among them."""
    answer = client.get(f"http://testserver{path}")
    assert (answer.status_code, answer.json()["code"]) == (401, "no_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="orders"'


def test_callers(client: TestClient, issuer: Issuer) -> None:
    """Handlers get their caller: in routes, in included routers and in mounted apps."""
    headers = bearer(issuer, scope=["read"])
    for path in ("/me", "/included/read", "/mounted/x/ada"):
        assert client.get(path, headers=headers).json() == "ada"
    assert client.get("/plain", headers=headers).json() == "plain"


def test_missing(client: TestClient, issuer: Issuer) -> None:
    """What is missing is named with 403, in mounted apps too."""
    order, headers = {"text": "t"}, bearer(issuer)
    answer = client.put("/orders/1", headers=headers, json=order)
    assert (answer.status_code, answer.json()["missing"]) == (403, ["role editor", "permission orders:write"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/included/read", headers=headers).json()["missing"] == ["scope read"]
    assert client.get("/mounted/x/bob", headers=headers).json()["missing"] == ["ownership"]
    assert client.get("/mounted/editor", headers=headers).status_code == 403


def test_rules_about_objects(client: TestClient, issuer: Issuer) -> None:
    """caller.require in a handler allows and refuses."""
    order, headers = {"text": "t"}, bearer(issuer, roles=["editor"])
    assert client.put("/orders/1", headers=headers, json=order).json() == ["ada", "t"]
    answer = client.put("/orders/2", headers=headers, json=order)
    assert (answer.status_code, answer.json()["title"]) == (403, "This needs ownership or role admin.")
    assert client.put("/orders/2", headers=bearer(issuer, roles=["editor", "admin"]), json=order).status_code == 200


def test_websocket(client: TestClient, issuer: Issuer) -> None:
    """The same for WebSockets, before they are accepted."""
    with client.websocket_connect("/ws", headers=bearer(issuer, roles=["editor"])) as socket:
        assert socket.receive_text() == "ada"
    for headers, status in (({}, 401), (bearer(issuer), 403)):
        with pytest.raises(WebSocketDisconnect) as denial, client.websocket_connect("/ws", headers=headers):
            pass
        assert getattr(denial.value, "status_code", None) == status


def test_cors(client: TestClient) -> None:
    """Preflights are answered without a token, and refusals carry the headers that let a browser read them."""
    origin = {"Origin": "https://web.example"}
    asking = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    assert client.options("/me", headers=asking).status_code == 200
    refused = client.get("/me", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://web.example")
    assert client.options("/me").status_code == 401


def test_a_policy_for_the_rest(guard: Guard, issuer: Issuer) -> None:
    """A policy decides where open does not, before the body is read."""
    policy = Policy(("GET", "/me", signed_in), ("PUT", "/orders/{number}", role("editor")), ("GET", "/plain", anyone))
    client = TestClient(shop(guard, policy=policy))
    assert client.get("/health").status_code == 200
    assert client.get("/plain").status_code == 200
    assert client.get("/me", headers=bearer(issuer)).json() == "ada"
    assert client.put("/orders/1", headers=bearer(issuer), content=b"{").status_code == 403
    answer = client.get("/included/read", headers=bearer(issuer, scope=["read"]))
    assert (answer.status_code, answer.json()["code"]) == (403, "no_rule")


def test_need_on_an_open_path(guard: Guard, issuer: Issuer) -> None:
    """An open path ignores tokens, so that a handler there that needs a caller is never reached."""
    client = TestClient(shop(guard, open=["/me"]))
    answer = client.get("/me", headers=bearer(issuer))
    assert (answer.status_code, answer.json()["code"]) == (401, "no_token")


def test_need_without_a_wall(issuer: Issuer) -> None:
    """Without a wall a handler that needs a caller is a mistake of its programmer, and is not reached."""
    app = FastAPI()

    @app.get("/me")
    def me(caller: SignedIn) -> str:
        return caller.subject

    with pytest.raises(RuntimeError, match="without a wall"):
        TestClient(app).get("/me", headers=bearer(issuer))


def test_misuse(guard: Guard) -> None:
    """Too late, twice, or not what it looks like: errors at the start."""
    app = FastAPI()
    protect(app, guard)
    with pytest.raises(RuntimeError, match="already"):
        protect(app, guard)
    started = FastAPI()
    TestClient(started).get("/")
    with pytest.raises(RuntimeError, match="start"):
        protect(started, guard)
    with pytest.raises(ValueError, match="list"):
        protect(FastAPI(), guard, open="/health")
    with pytest.raises(ValueError, match="nothing"):
        need(anyone)
    with pytest.raises(ValueError, match="narrows"):
        need(role("editor").unsafely_accept_stale())


def test_document(client: TestClient, guard: Guard) -> None:
    """The OpenAPI document names the scheme, says what is open, and shows refusals; asking twice changes nothing."""
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert document["security"] == [{"bearer": []}]
    paths = document["paths"]
    assert paths["/health"]["get"]["security"] == []
    assert "401" not in paths["/health"]["get"]["responses"]
    for operation in (paths["/health"]["post"], paths["/me"]["get"], paths["/included/read"]["get"]):
        assert "security" not in operation
        assert {"401", "403", "503"} <= operation["responses"].keys()
    assert paths["/me"]["get"]["responses"]["401"]["content"].keys() == {"application/problem+json"}
    assert not paths["/me"]["get"].get("parameters")
    assert "WatchwordProblem" in document["components"]["schemas"]
    assert client.get("/openapi.json").json() == document


def test_lifespan(guard: Guard, issuer: Issuer) -> None:
    """The guard's lifespan is the app's."""
    with TestClient(shop(guard)) as client:
        assert client.get("/me", headers=bearer(issuer)).status_code == 200


def test_behind_a_proxy_that_strips(guard: Guard, issuer: Issuer) -> None:
    """Under a root path the same paths are open, and no others."""
    client = TestClient(shop(guard), root_path="/api")
    assert client.get("/api/health").status_code == 200
    assert client.get("/apihealth").status_code == 401
    assert client.get("/api/me", headers=bearer(issuer)).json() == "ada"


def test_apps_with_root_paths(guard: Guard, issuer: Issuer) -> None:
    """A mounted app that says where it is mounted is right; one that says another place is refused, and at once."""
    top, sub, moved = FastAPI(), FastAPI(), FastAPI()
    top.root_path, sub.root_path, moved.root_path = "/v1", "/v1/sub", "/v2"

    @sub.get("/plain")
    def plain() -> str:
        return "plain"

    top.mount("/sub", sub)
    protect(top, guard)
    client = TestClient(top)
    assert client.get("/v1/sub/plain").status_code == 401
    assert client.get("/v1/sub/plain", headers=bearer(issuer)).json() == "plain"
    other = FastAPI()
    other.mount("/sub", moved)
    with pytest.raises(ValueError, match="/v2"):
        protect(other, guard)


def test_browsers(guard: Guard, issuer: Issuer) -> None:
    """A page opens a WebSocket with a ticket, or with a subprotocol, where the service asks for them by name."""
    client = TestClient(shop(guard, tickets=Tickets("/tickets"), subprotocol="watchword.bearer"))
    headers = bearer(issuer, roles=["editor"])
    given = client.post("/tickets", json={"path": "/ws"}, headers=headers)
    assert given.status_code == 201
    with client.websocket_connect(f"/ws?ticket={given.json()['ticket']}") as chat:
        assert chat.receive_text() == "ada"
    with client.websocket_connect("/ws", ["watchword.bearer", headers["Authorization"][7:]]) as chat:
        assert chat.receive_text() == "ada"
        accepted: str | None = chat.accepted_subprotocol
        assert accepted == "watchword.bearer"
    assert client.post("/tickets", json={"path": "/docs"}, headers=headers).json()["field"] == "path"
    assert TestClient(shop(guard)).post("/tickets", json={"path": "/ws"}, headers=headers).status_code == 404
