"""Revocation by an administrator: of every scope, seen through the authority's own guard."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import (
    Headers,
    Json,
    account,
    bearer,
    code,
    good,
    make_role,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.authority import Authority
from watchword.authority.log.head import raise_floor
from watchword.authority.operator import operator_token
from watchword.core.compact import read_unverified

pytestmark = pytest.mark.both_databases


def _claims(tokens: Json) -> Json:
    return read_unverified(tokens["access_token"])[1]


@pytest.mark.parametrize(
    ("scope", "dies", "refreshes"),
    [
        ("everyone", "everything_expired", False),
        ("client", "client_revoked", False),
        ("role", "roles_changed", True),
        ("user", "signed_out", False),
        ("session", "session_ended", False),
        ("token", "token_revoked", True),
    ],
)
async def test_each_scope_ends_what_it_names(
    http: AsyncClient, operator: Headers, authority: Authority, scope: str, dies: str, refreshes: bool
) -> None:
    """The token dies with the reason, its session too where it must, and what is not named lives."""
    user = await make_user(http, operator, roles=["editor"])
    await make_user(http, operator, "bob")
    ada, twice, bob = await sign_in(http), await sign_in(http), await sign_in(http, "bob")
    named = {"client": "watchword", "role": "editor", "user": user["id"]}
    named |= {"session": _claims(ada)["sid"], "token": _claims(ada)["jti"]}
    body = {"scope": scope} | ({"id": named[scope]} if scope in named else {})
    position = good(await http.post("/admin/revocations", json=body, headers=operator))["position"]
    assert await account(http, ada) == dies
    assert await account(http, twice) == (dies if scope in ("everyone", "client", "role", "user") else "ok")
    assert await account(http, bob) == (dies if scope in ("everyone", "client") else "ok")
    answer = await refresh(http, ada["refresh_token"])
    assert (answer.status_code == 200) is refreshes
    if refreshes:
        assert await account(http, answer.json()) == "ok"
    assert await account(http, await sign_in(http)) == "ok"
    again = bearer(await operator_token(authority))
    (cutoff,) = good(await http.get("/admin/revocations", headers=again))["items"]
    assert (cutoff["scope"], cutoff["id"], cutoff["reason"]) == (scope, named.get(scope, ""), dies)
    assert position.endswith(f".{cutoff['number']}")
    line = good(await http.get("/admin/audit?action=revoke", headers=again))["items"][0]
    assert (line["target"], line["detail"], line["actor"]) == (named.get(scope, ""), scope, "operator")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "invalid_field"),
        ({"scope": "nobody", "id": "x"}, "invalid_field"),
        ({"scope": "keys", "id": "x"}, "invalid_field"),
        ({"scope": "everyone", "id": "x"}, "invalid_field"),
        ({"scope": "everyone", "id": ""}, "invalid_field"),
        ({"scope": "user"}, "invalid_field"),
        ({"scope": "user", "id": ""}, "invalid_field"),
        ({"scope": "token", "id": "x" * 256}, "invalid_field"),
        ({"scope": "token", "id": 5}, "invalid_field"),
        ({"scope": "user", "id": "ada"}, "not_found"),
        ({"scope": "client", "id": "nobody"}, "not_found"),
        ({"scope": "role", "id": "nobody"}, "not_found"),
        ({"scope": "session", "id": "nobody"}, "not_found"),
    ],
)
async def test_what_cannot_be_revoked_moves_nothing(
    http: AsyncClient, operator: Headers, body: Any, expected: str
) -> None:
    """A wrong scope, a missing or needless id, something that is not there: refused, and no cutoff is made."""
    await make_user(http, operator)
    assert code(await http.post("/admin/revocations", json=body, headers=operator)) == expected
    assert good(await http.get("/admin/revocations", headers=operator))["items"] == []


async def test_the_list_is_paged_newest_first_and_forgets(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """What is below the floor concerns no living token and is not shown; keys are no cutoffs."""
    for number in range(5):
        body = {"scope": "token", "id": f"t{number}"}
        good(await http.post("/admin/revocations", json=body, headers=operator))
    good(await http.post("/admin/keys/rotate", headers=operator))
    first = good(await http.get("/admin/revocations?limit=3", headers=operator))
    rest = good(await http.get("/admin/revocations", params={"after": first["next"]}, headers=operator))
    assert [cutoff["id"] for cutoff in first["items"] + rest["items"]] == ["t4", "t3", "t2", "t1", "t0"]
    assert rest["next"] is None
    async with authority.changing() as connection:
        await raise_floor(connection, -1e6)
    fresh = bearer(await operator_token(authority))
    assert good(await http.get("/admin/revocations", headers=fresh))["items"] == []


async def test_sessions_are_listed_and_ended(http: AsyncClient, operator: Headers) -> None:
    """Those that live, by user and client, newest first; an ended one is gone and cannot be ended again."""
    user = await make_user(http, operator)
    await make_user(http, operator, "bob")
    ada, bob = await sign_in(http, label="phone"), await sign_in(http, "bob")

    async def listed(query: str = "") -> list[str]:
        page = good(await http.get(f"/admin/sessions{query}", headers=operator))
        return [session["id"] for session in page["items"]]

    here, there = _claims(ada)["sid"], _claims(bob)["sid"]
    assert await listed() == [there, here]
    assert await listed(f"?user={user['id']}") == [here]
    assert await listed("?client=watchword") == [there, here]
    assert await listed("?client=nobody") == []
    first = good(await http.get("/admin/sessions?limit=1", headers=operator))
    assert first["items"][0]["id"] == there
    rest = good(await http.get("/admin/sessions", params={"after": first["next"]}, headers=operator))
    assert (rest["items"][0]["label"], rest["next"]) == ("phone", None)
    good(await http.delete(f"/admin/sessions/{here}", headers=operator))
    assert [await account(http, ada), await account(http, bob)] == ["session_ended", "ok"]
    assert await listed() == [there]
    for gone in (here, "nobody"):
        assert code(await http.delete(f"/admin/sessions/{gone}", headers=operator)) == "not_found"


@pytest.mark.parametrize("end", ["user", "client", "everyone", "disabled"])
async def test_a_session_that_cannot_be_refreshed_is_not_listed(
    http: AsyncClient, operator: Headers, authority: Authority, end: str
) -> None:
    """What ended it is no matter; administrators and users see the same."""
    user = await make_user(http, operator)
    await sign_in(http)
    if end == "disabled":
        good(await http.post(f"/admin/users/{user['id']}/disable", headers=operator))
    else:
        body = {"scope": end} | {"user": {"id": user["id"]}, "client": {"id": "watchword"}}.get(end, {})
        good(await http.post("/admin/revocations", json=body, headers=operator))
    fresh = bearer(await operator_token(authority))
    assert good(await http.get("/admin/sessions", headers=fresh))["items"] == []
    assert good(await http.get("/admin/status", headers=fresh))["sessions"] == 0
    if end != "disabled":
        own = good(await http.get("/account/sessions", headers=bearer(await sign_in(http))))["items"]
        assert [session["current"] for session in own] == [True]


async def test_the_status_counts(http: AsyncClient, operator: Headers) -> None:
    """How much there is of what, and where the log stands."""
    await make_user(http, operator)
    await make_role(http, operator, "editor")
    await sign_in(http)
    good(await http.post("/admin/revocations", json={"scope": "role", "id": "editor"}, headers=operator))
    good(await http.post("/admin/keys/rotate", headers=operator))
    status = good(await http.get("/admin/status", headers=operator))
    counts = {"users": 2, "clients": 1, "sessions": 1, "cutoffs": 1, "keys": 3, "floor": 0, "alarm": None}
    assert {name: status[name] for name in counts} == counts
    assert status["position"].endswith(".2")
