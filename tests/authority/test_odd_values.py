"""Texts and numbers that a database cannot hold: a refusal wherever they stand, and never a failure of ours."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send
from tests.authority.helpers import ISSUER, OWN_CLIENT, PASSWORD, Headers, bearer, make_role, make_user, sign_in

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.http import Route
from watchword.authority.routes import ROUTES

pytestmark = pytest.mark.both_databases

TEXTS: Final = ("a\0b", "x" * 2000, "é\U0001f600", "a\nb")
NUMBERS: Final = (-1, 2**31, 2**63, 10**400)
GOOD: Final[dict[str, Any]] = {
    "username": "ada",
    "password": PASSWORD,
    "new_password": PASSWORD + "!",
    "client_id": OWN_CLIENT,
    "id": "web",
    "name": "editor",
    "grants": ["login"],
    "audiences": [ISSUER],
    "audience": ISSUER,
    "roles": ["editor"],
    "scope": "user",
    "data": {},
    "grant_type": "refresh_token",
    "refresh_token": "wwr_x",
    "token": "x",
}
"""A good value of each field that a body may need; none of them ends a session of an administrator."""


def _odd_inputs(route: Route) -> Iterator[dict[str, Any]]:
    """What the route takes, with one odd value each time."""
    fields = msgspec.structs.fields(route.takes) if route.takes else ()
    good = {field.encode_name: GOOD[field.encode_name] for field in fields if field.encode_name in GOOD}
    for field in fields:
        for value in _odd_values(field.type):
            yield good | {field.encode_name: value}


def _odd_values(kind: Any) -> Iterator[Any]:
    text = str(kind)
    if "list" in text:
        yield from ([value] for value in TEXTS)
    elif "dict" in text:
        yield from ({value: value} for value in TEXTS)
    elif "int" in text or "float" in text:
        yield from NUMBERS
    elif "str" in text or any("str" in str(part) for part in get_args(kind)):
        yield from TEXTS


async def _send(http: AsyncClient, route: Route, path: str, given: dict[str, Any] | None, headers: Headers) -> int:
    if given is None:
        response = await http.request(route.method, path, headers=headers)
    elif route.form:
        response = await http.request(route.method, path, data=given, headers=headers)
    elif route.has_body:
        response = await http.request(route.method, path, json=given, headers=headers)
    else:
        response = await http.request(route.method, f"{path}?{urlencode(given)}", headers=headers)
    return response.status_code


@pytest.fixture
async def callers(http: AsyncClient, operator: Headers) -> dict[bool, Headers]:
    """Who asks: an administrator where the path is an administrator's, else Ada."""
    await make_role(http, operator, "editor")
    await make_user(http, operator, "ada")
    return {True: operator, False: bearer(await sign_in(http))}


async def test_no_field_of_any_route_is_stumbled_over(http: AsyncClient, callers: dict[bool, Headers]) -> None:
    """Each field of each body, form and query string: a good answer or a refusal of the asker, whatever it holds."""
    wrong = []
    for route in ROUTES:
        path = route.path.replace("{", "").replace("}", "")
        for given in _odd_inputs(route):
            status = await _send(http, route, path, given, callers[path.startswith("/admin")])
            if status >= 500:
                wrong.append((route.method, path, given, status))
    assert wrong == []


@pytest.mark.parametrize("odd", ["a%00b", "%ED%A0%80", "x" * 5000, quote("é\U0001f600")])
async def test_no_path_takes_what_cannot_be_kept(http: AsyncClient, callers: dict[bool, Headers], odd: str) -> None:
    """There is nothing of such a name."""
    for route in ROUTES:
        if "{" in route.path:
            path = "/".join(odd if part.startswith("{") else part for part in route.path.split("/"))
            status = await _send(http, route, path, _good(route), callers[path.startswith("/admin")])
            assert 400 <= status < 500, (route, status)


def _good(route: Route) -> dict[str, Any] | None:
    if route.takes is None or not route.has_body:
        return None
    return {
        field.encode_name: GOOD[field.encode_name] for field in msgspec.structs.fields(route.takes) if field.required
    }


@pytest.mark.parametrize("odd", ["a\0b", "x" * 5000, "é\U0001f600", "%00"])
@pytest.mark.parametrize("path", ["/token", "/revoke", "/login", "/revocations"])
async def test_no_basic_credentials_hold_what_cannot_be_kept(http: AsyncClient, path: str, odd: str) -> None:
    """They are nobody's, or unreadable."""
    for pair in (f"{odd}:secret", f"{OWN_CLIENT}:{odd}"):
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        if path == "/revocations":
            response = await http.get(path, headers=headers)
        elif path == "/login":
            response = await http.post(
                path, json={"username": "ada", "password": "b", "client_id": odd}, headers=headers
            )
        else:
            response = await http.post(path, data={"grant_type": "client_credentials", "token": "x"}, headers=headers)
        assert 400 <= response.status_code < 500, response.text


@pytest.mark.parametrize("text", [r"\ud800", r"\udc00\ud800"])
async def test_half_a_character_is_no_text(http: AsyncClient, text: str) -> None:
    """JSON can escape a lone surrogate, which has no encoding."""
    body = json.dumps({"username": "ada", "password": "x", "client_id": OWN_CLIENT}).replace("ada", text)
    response = await http.post("/login", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("odd", ["\udcff", "a\0b"])
async def test_a_server_that_hands_over_half_characters_gets_a_refusal(
    authority: Authority, callers: dict[bool, Headers], odd: str
) -> None:
    """Some ASGI servers decode a path so that no byte is lost: what comes of that is no name of anything."""
    app = build_app(authority)

    async def handed_over(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": scope["path"].replace("ODD", odd)}, receive, send)

    async with AsyncClient(transport=ASGITransport(handed_over), base_url=ISSUER) as http:
        for route in ROUTES:
            if "{" in route.path:
                path = "/".join("ODD" if part.startswith("{") else part for part in route.path.split("/"))
                status = await _send(http, route, path, _good(route), callers[path.startswith("/admin")])
                assert 400 <= status < 500, (route, status)


async def test_an_address_of_any_length_is_kept_as_far_as_it_fits(
    authority: Authority, callers: dict[bool, Headers]
) -> None:
    """A proxy that is believed may pass on whatever it was told."""
    app = build_app(authority)

    async def by_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": ("x" * 500, 0)}, receive, send)

    async with AsyncClient(transport=ASGITransport(by_proxy), base_url=ISSUER) as http:
        sessions = (await http.get("/account/sessions", headers=bearer(await sign_in(http)))).json()["items"]
    assert [session["address"] for session in sessions if session["current"]] == ["x" * 64]
