"""Bad requests over HTTP: each gets a clear answer in one shape, and no secret comes back."""

import json
from typing import Any

import httpx2
import pytest
from examples.stage import Stage, bearer

SECRET = "correct-horse-battery-staple"
SIGN_IN = {"username": "ada", "password": SECRET, "client_id": "web", "audience": "articles"}
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MEGABYTE = "x" * 1024 * 1024


def _sign_in(**members: object) -> bytes:
    return json.dumps(SIGN_IN | members).encode()


def _without(name: str) -> bytes:
    return json.dumps({member: value for member, value in SIGN_IN.items() if member != name}).encode()


SIGN_INS: dict[str, tuple[bytes, int, str | None]] = {
    "not JSON": (b'{"username": "ada", "password": "' + SECRET.encode(), 400, None),
    "empty": (b"", 400, None),
    "not UTF-8": (b'{"username": "\xff", "password": "' + SECRET.encode() + b'"}', 400, None),
    "a repeated member": (b'{"password": "a", ' + _sign_in()[1:], 400, None),
    "an escaped repeated member": (b'{"passw\\u006frd": "a", ' + _sign_in()[1:], 400, None),
    "nested without end": (b'{"username": ' + b"[" * 10_000, 400, None),
    "not a number of JSON": (b'{"username": NaN}', 400, None),
    "something after the object": (_sign_in() + b"{}", 400, None),
    "a list": (b"[]", 422, "body"),
    "a number for a name": (_sign_in(username=7), 422, "username"),
    "a null for a password": (_sign_in(password=None), 422, "password"),
    "a list for a password": (_sign_in(password=[SECRET]), 422, "password"),
    "no password": (_without("password"), 422, "password"),
    "an empty password": (_sign_in(password=""), 422, "password"),
    "an unknown member": (_sign_in(remember=True), 422, "remember"),
    "a long password": (_sign_in(password=SECRET * 100), 422, "password"),
    "a short new password": (_sign_in(new_password="short"), 422, "new_password"),
    "a long name": (_sign_in(username="a" * 129), 422, "username"),
    "a password of a megabyte": (_sign_in(password=MEGABYTE), 413, None),
    "a body over the limit": (_sign_in(label="x" * 65_536), 413, None),
}


def _check(answer: httpx2.Response, status: int, field: str | None) -> None:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem.get("field")) == (status, field), answer.text
    assert problem["status"] == status
    assert problem["code"]
    assert problem["title"]
    assert SECRET not in answer.text
    assert len(answer.content) < 1000
    assert SECRET not in str(answer.headers)


@pytest.mark.parametrize("case", SIGN_INS)
def test_a_bad_sign_in_is_told_what_is_wrong(stage: Stage, case: str) -> None:
    """Malformed is 400, too large is 413, and a wrong member is 422 and named."""
    body, status, field = SIGN_INS[case]
    _check(stage.authority.post("/login", content=body, headers={"Content-Type": JSON}), status, field)


@pytest.mark.parametrize("kind", ["text/plain", FORM, "", "application/json, text/plain"])
def test_another_content_type_is_refused(stage: Stage, kind: str) -> None:
    """A body is read as what it says it is, or not at all."""
    _check(stage.authority.post("/login", content=_sign_in(), headers={"Content-Type": kind}), 415, None)


def test_a_query_string_beside_a_body_is_refused(stage: Stage) -> None:
    """What lands in access logs is no place for input."""
    _check(stage.authority.post("/login?audience=articles", json=SIGN_IN), 400, None)


FORMS: dict[str, tuple[str, int, str | None]] = {
    "nothing": ("", 400, "grant_type"),
    "an unknown grant": ("grant_type=password&client_id=web", 400, None),
    "a repeated parameter": (
        f"grant_type=refresh_token&refresh_token={SECRET}&refresh_token=b",
        400,
        None,
    ),
    "no refresh token": ("grant_type=refresh_token&client_id=web", 400, "refresh_token"),
    "an unknown refresh token": (f"grant_type=refresh_token&refresh_token={SECRET}&client_id=web", 400, None),
    "no form": (f"{SECRET}", 400, None),
    "a percent sign too many": (f"grant_type=%zz&refresh_token={SECRET}", 400, None),
    "a megabyte": (f"grant_type=refresh_token&refresh_token={MEGABYTE}", 413, None),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_bad_form_is_told_what_is_wrong(stage: Stage, case: str) -> None:
    """OAuth's endpoints answer in its own shape too: `error` beside the members of a problem."""
    body, status, field = FORMS[case]
    answer = stage.authority.post("/token", content=body, headers={"Content-Type": FORM})
    _check(answer, status, field)
    assert answer.json()["error"]


@pytest.mark.parametrize("name", ["", "Ada", "ada lovelace", "adä", "ada\n", "a" * 129, "a/b", "a\u0000", "ada\u200b"])
def test_a_user_name_outside_the_alphabet_is_refused(stage: Stage, name: str) -> None:
    """Lower-case ASCII only, so that no two names look alike."""
    _check(_add_user(stage, username=name, password=SECRET), 422, "username")


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"roles": "editor"}, "roles"),
        ({"roles": ["No Role"]}, "roles[0]"),
        ({"roles": ["nobody-made-this-role"]}, "roles"),
        ({"password": SECRET[:5]}, "password"),
        ({"display_name": "a\nb"}, "display_name"),
        ({"disabled": True}, "disabled"),
        ({"claims": {"salary": 1}}, "claims"),
    ],
)
def test_a_bad_user_is_refused_and_the_field_named(stage: Stage, members: dict[str, object], field: str) -> None:
    """Nothing is made of it."""
    wanted = {"username": "somebody", "password": SECRET} | members
    answer = _add_user(stage, **wanted)
    _check(answer, 422, answer.json().get("field"))
    assert answer.json()["field"].startswith(field.partition("[")[0])
    assert stage.administrator.connection.get("/admin/users", params={"username": "somebody"}).json()["items"] == []


def test_several_credentials_are_never_chosen_between(stage: Stage) -> None:
    """Two Authorization fields are a bad request at the service and at the authority."""
    token = stage.sign_in(stage.add_user("editor")).access
    fields = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    for client, path in ((stage.articles, "/me"), (stage.authority, "/account")):
        answer = client.get(path, headers=fields)
        assert (answer.status_code, answer.json()["code"]) == (400, "ambiguous_credentials")


@pytest.mark.parametrize("token", ["a.b.c", "....", "é", "eyJhbGciOiJub25lIn0.e30.", "x" * 10_000, "a b", "a,b"])
def test_whatever_comes_as_a_token_is_refused(stage: Stage, token: str) -> None:
    """Not one of them is a 500, at the service or at the authority."""
    for client, path in ((stage.articles, "/me"), (stage.authority, "/account")):
        answer = client.get(path, headers={b"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code in (400, 401)


@pytest.mark.parametrize("path", ["//account", "/account/", "/Account", "/%61ccount", "/admin/../account", "/nowhere"])
def test_a_path_that_is_not_on_the_table_needs_a_rule_that_is_not_there(stage: Stage, path: str) -> None:
    """Look-alikes of a path are never that path, for callers and for strangers."""
    token = stage.sign_in(stage.add_user("editor"), audience=stage.issuer).access
    assert stage.authority.get(path).status_code in (401, 403, 404)
    assert stage.authority.get(path, headers=bearer(token)).status_code in (200, 403, 404)


def _add_user(stage: Stage, **members: object) -> httpx2.Response:
    return stage.administrator.connection.post("/admin/users", json=members)
