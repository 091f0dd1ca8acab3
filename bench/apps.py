"""The apps that are measured without and with their protection: bare ASGI, Starlette and FastAPI."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Final

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench import world
from watchword import Caller, Guard, Key, Policy, anyone, role, signed_in
from watchword.frameworks.fastapi import need, protect

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH: Final = "/orders/1729"
_BODY: Final = b'{"id":1729,"note":"two apples"}'
_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())],
}


class Order(BaseModel):
    """What a handler answers."""

    id: int
    note: str


class User(BaseModel):
    """The tutorial's user."""

    username: str
    disabled: bool = False


def policy() -> Policy:
    """A service's table: ours is the third row."""
    return Policy(
        ("GET", "/health", anyone),
        ("GET", "/orders", signed_in),
        ("GET", "/orders/{id}", role("editor")),
        ("*", "/admin/**", role("admin")),
    )


async def bare(_: Scope, __: Receive, send: Send) -> None:
    """The least that an ASGI app can do."""
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


def starlette() -> Starlette:
    """One route."""

    async def order(request: Request) -> JSONResponse:
        return JSONResponse({"id": int(request.path_params["id"]), "note": "two apples"})

    return Starlette(routes=[Route("/orders/{id:int}", order)])


def fastapi() -> FastAPI:
    """One route, open to all."""
    app = FastAPI()

    @app.get("/orders/{id}")
    async def order(id: int) -> Order:  # noqa: A002
        return Order(id=id, note="two apples")

    return app


def fastapi_protected(guard: Guard) -> FastAPI:
    """The same behind the wall, whose policy has the rule."""
    app = fastapi()
    protect(app, guard, policy=policy())
    return app


def fastapi_needing(guard: Guard) -> FastAPI:
    """The same behind the wall, with the rule at the handler."""
    app = FastAPI()
    editor = Annotated[Caller, need(role("editor"))]

    @app.get("/orders/{id}")
    async def order(id: int, caller: editor) -> Order:  # noqa: A002, ARG001
        return Order(id=id, note="two apples")

    protect(app, guard)
    return app


def fastapi_tutorial(signer: Key) -> FastAPI:
    """As FastAPI's tutorial on OAuth2 and JWT has it: three dependencies, PyJWT, and a dictionary of users."""
    app, key = FastAPI(), jwt.PyJWK(dict(signer.public.to_jwk())).key
    users: dict[str, dict[str, Any]] = {
        f"u-{number:08}": {"username": f"u-{number:08}"} for number in range(world.POOL)
    }
    scheme = OAuth2PasswordBearer(tokenUrl="token")

    async def current_user(token: Annotated[str, Depends(scheme)]) -> User:
        try:
            claims = jwt.decode(token, key, ["RS256"], audience=world.AUDIENCE, issuer=world.ISSUER)
        except jwt.InvalidTokenError:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
        found = users.get(claims["sub"])
        if found is None or "editor" not in claims["roles"]:
            raise HTTPException(403)
        return User(**found)

    async def active_user(user: Annotated[User, Depends(current_user)]) -> User:
        if user.disabled:
            raise HTTPException(400)
        return user

    @app.get("/orders/{id}")
    async def order(id: int, user: Annotated[User, Depends(active_user)]) -> Order:  # noqa: A002, ARG001
        return Order(id=id, note="two apples")

    return app


def pyjwt_middleware(app: App, signer: Key) -> App:
    """PyJWT in middleware that knows nothing but ASGI, as short as it can be."""
    key = jwt.PyJWK(dict(signer.public.to_jwk())).key

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7] == b"Bearer ":
                try:
                    claims = jwt.decode(value[7:], key, ["RS256"], audience=world.AUDIENCE, issuer=world.ISSUER)
                except jwt.InvalidTokenError:
                    break
                if "editor" not in claims["roles"]:
                    break
                await app({**scope, "claims": claims}, receive, send)
                return
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return middleware


def headers(token: str) -> list[tuple[bytes, bytes]]:
    """What a client sends."""
    return [
        (b"host", b"orders.example"),
        (b"user-agent", b"bench"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"x-request-id", b"4f1c2f6b0d"),
        (b"authorization", f"Bearer {token}".encode()),
    ]


def request(token: str) -> Scope:
    """A request's scope, as a server makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers(token),
    }


def check(loop: asyncio.AbstractEventLoop, app: App, token: str, *, status: int = 200) -> None:
    """See that an app answers as it should before it is measured."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    loop.run_until_complete(app(request(token), nothing, send))
    assert sent[0]["status"] == status, sent
    assert status != 200 or json.loads(sent[1]["body"])["id"] == 1729


async def nothing() -> MutableMapping[str, Any]:
    """A request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}
