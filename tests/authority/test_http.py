"""Bad input: a clear answer in one shape, nothing lost, nothing echoed, never a 500."""

import json
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from watchword.authority.http import invalid_field

LOGIN = {"username": "ada", "password": "a secret in a bad request", "client_id": "watchword"}
JSON = {"Content-Type": "application/json"}


async def _post(http: AsyncClient, content: bytes | str, headers: dict[str, str] | None = None) -> Response:
    return await http.post("/login", content=content, headers=JSON if headers is None else headers)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": 5}, "username"),
        ({"username": ""}, "username"),
        ({"username": "x" * 129}, "username"),
        ({"username": "ada\0"}, "username"),
        ({"username": None}, "username"),
        ({"password": ["a secret in a bad request"]}, "password"),
        ({"password": "x" * 1025}, "password"),
        ({"new_password": "short"}, "new_password"),
        ({"label": "x" * 101}, "label"),
        ({"label": "two\nlines"}, "label"),
        ({"surprise": 1}, "surprise"),
        ({"client_id": True}, "client_id"),
    ],
)
async def test_a_wrong_field_is_named(http: AsyncClient, change: dict[str, Any], field: str) -> None:
    """422 says which field and what it should be, without its value."""
    response = await http.post("/login", json=LOGIN | change)
    answer = response.json()
    assert (response.status_code, answer["code"], answer["field"]) == (422, "invalid_field", field)
    assert "a secret" not in response.text


@pytest.mark.parametrize("missing", ["username", "password", "client_id"])
async def test_a_missing_field_is_named(http: AsyncClient, missing: str) -> None:
    """The answer says that it is missing."""
    body = {name: value for name, value in LOGIN.items() if name != missing}
    answer = (await http.post("/login", json=body)).json()
    assert (answer["code"], answer["field"], answer["reason"]) == ("invalid_field", missing, "the field is missing")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'\xef\xbb\xbf{"username":"a"}',
        b'{"username":"a","username":"b","password":"a secret","client_id":"w"}',
        b'{"username":"\\ud800","password":"a secret","client_id":"w"}',
        b'{"password":NaN}',
        b"[" * 10_000,
        b'{"username":"a"} x',
    ],
)
async def test_what_is_not_strict_json_is_refused(http: AsyncClient, content: bytes) -> None:
    """Repeated members, lone surrogates and the like have two readings; both are refused."""
    response = await _post(http, content)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert "a secret" not in response.text


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"5", b"null"])
async def test_json_that_is_no_object_is_refused(http: AsyncClient, content: bytes) -> None:
    """The body as a whole is then the wrong field."""
    response = await _post(http, content)
    assert (response.status_code, response.json()["field"]) == (422, "body")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(http: AsyncClient) -> None:
    """A password of 1 MB costs us 64 KiB."""
    response = await http.post("/login", json=LOGIN | {"password": "x" * 1_000_000})
    assert (response.status_code, response.json()["code"], response.json()["limit"]) == (413, "body_too_large", 65536)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_another_content_type_is_refused(http: AsyncClient, kind: str | None) -> None:
    """A form that a foreign page can send without asking is not taken for JSON."""
    response = await _post(http, json.dumps(LOGIN), {} if kind is None else {"Content-Type": kind})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_a_parameter_of_the_content_type_does_no_harm(http: AsyncClient) -> None:
    """application/json; charset=utf-8 is JSON."""
    response = await _post(http, json.dumps(LOGIN), {"Content-Type": "Application/JSON; charset=utf-8"})
    assert response.json()["code"] == "sign_in_failed"


@pytest.mark.parametrize(("method", "path"), [("GET", "/livez?x=1"), ("POST", "/login?x=1")])
async def test_a_query_that_nobody_asked_for_is_refused(http: AsyncClient, method: str, path: str) -> None:
    """Secrets do not get into addresses by mistake."""
    response = await http.request(method, path, json=LOGIN if method == "POST" else None)
    assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"grant_type=%ff", "unsupported_grant_type"),
        (b"grant_type", "invalid_request"),
        (b"&".join(b"a%d=1" % n for n in range(40)), "invalid_request"),
        ("grant_type=é".encode(), "invalid_request"),
    ],
)
async def test_odd_forms_are_refused(http: AsyncClient, content: bytes, code: str) -> None:
    """Too many parameters, bytes beyond ASCII, broken escapes."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await http.post("/token", content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["code"] in (code, "invalid_request")


async def test_every_answer_is_kept_by_nobody(http: AsyncClient) -> None:
    """Tokens and refusals are not for caches."""
    for response in (await http.post("/login", json=LOGIN), await http.get("/account"), await http.get("/livez")):
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("message", "field", "reason"),
    [
        ("Expected `str`, got `int` - at `$.a.b`", "a.b", "Expected `str`, got `int`"),
        ("Expected `str`, got `int` - at `$.roles[...]`", "roles[...]", "Expected `str`, got `int`"),
        ("Object contains unknown field `x`", "x", "there is no such field"),
        ("Object contains unknown field `a secret with spaces`", "body", "there is no such field"),
        ("Object missing required field `x` - at `$.a`", "a.x", "the field is missing"),
        ("Invalid enum value 'a secret' - at `$.a`", "a", "not one of the values that are known"),
    ],
)
def test_messages_lose_their_values(message: str, field: str, reason: str) -> None:
    """What msgspec says becomes a field and a reason, and whatever was sent stays out of both."""
    refusal = invalid_field(message)
    assert (refusal.public["field"], refusal.public["reason"]) == (field, reason)
    assert "a secret" not in str(refusal)
