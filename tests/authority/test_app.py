"""The application around the endpoints."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from tests.authority.helpers import ISSUER, Headers, bearer, code, good, make_client

from watchword.authority import http as reading
from watchword.authority.app import build_app, build_policy
from watchword.authority.authority import Authority
from watchword.authority.routes import ROUTES
from watchword.authority.settings import Settings


class SlowBody:
    """A body whose last byte comes when it is told to."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """All but the last byte; then the last."""
        yield self._body[:-1]
        self.waiting.set()
        await self.go_on.wait()
        yield self._body[-1:]


def test_every_route_has_its_row_in_the_walls_policy() -> None:
    """What is in the table is reachable by its own rule, and nothing else is open."""
    policy = build_policy()
    for route in ROUTES:
        path = route.path.replace("{", "").replace("}", "")
        assert policy.rule(route.method, path) is route.rule
    assert policy.rule("GET", "/anything") is None
    assert policy.rule("DELETE", "/login") is None


async def test_a_body_that_comes_after_a_revocation_does_nothing(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """The caller is judged again when the body is whole, however long that took."""
    name, secret = await make_client(
        http, operator, "billing", grants=["client_credentials", "data"], audiences=[ISSUER, "orders"]
    )
    form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret, "audience": ISSUER}
    headers = bearer(good(await http.post("/token", data=form))) | {"Content-Type": "application/json"}
    body = SlowBody(b'{"audience":"orders","data":{}}')
    parked = asyncio.create_task(http.post("/data-tokens", content=body, headers=headers))
    await body.waiting.wait()
    good(await http.post(f"/admin/clients/{name}/secret", headers=operator))
    body.go_on.set()
    assert code(await parked) == "client_revoked"


async def test_a_body_that_takes_too_long_is_refused(http: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds a connection with an unfinished body."""
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.01)
    body = SlowBody(b"{}")
    response = await http.post("/login", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, code(response)) == (408, "body_too_slow")


@pytest.mark.parametrize("basic", ["é", "x", "", "eA==", "=", "\x7f", "/w==", "YTpi YTpi"])
@pytest.mark.parametrize("path", ["/token", "/revoke", "/login", "/revocations"])
async def test_odd_basic_credentials_are_refused(http: AsyncClient, path: str, basic: str) -> None:
    """Whatever stands behind Basic is a refusal, never a bug."""
    headers = [(b"Authorization", f"Basic {basic}".encode())]
    if path == "/revocations":
        response = await http.get(path, headers=headers)
    elif path == "/login":
        login = {"username": "a", "password": "b", "client_id": "c"}
        response = await http.post(path, json=login, headers=headers)
    else:
        response = await http.post(path, data={"grant_type": "client_credentials", "token": "x"}, headers=headers)
    assert code(response) == "invalid_client"


async def test_pages_of_listed_origins_may_call_all_but_the_administration(
    authority: Authority, settings: Settings
) -> None:
    """CORS answers for sign-in and account, and is silent under /admin."""
    opened = msgspec.structs.replace(settings, cors_origins=["https://shop.example"])
    authority.settings = opened
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
        allowed = [
            (await http.options(path, headers=asks)).headers.get("access-control-allow-origin")
            for path in ("/login", "/token", "/account", "/admin/users", "/admin")
        ]
        stranger = await http.options("/login", headers=asks | {"Origin": "https://evil.example"})
    assert allowed == ["https://shop.example"] * 3 + [None, None]
    assert "access-control-allow-origin" not in stranger.headers


async def test_a_bug_has_the_one_shape(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours answers 500 with a code, and its trace is in the log only."""

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret of the process")

    monkeypatch.setattr("watchword.authority.app.read_input", broken)
    transport = ASGITransport(build_app(authority))
    async with AsyncClient(transport=transport, base_url=ISSUER) as http:
        response = await http.get("/livez")
    assert (response.status_code, code(response)) == (500, "internal_error")
    assert "a secret of the process" not in response.text
    assert "ZeroDivisionError" in caplog.text
