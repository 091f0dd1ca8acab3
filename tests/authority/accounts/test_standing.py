"""A user's standing: what an administrator changes, and which tokens survive it."""

from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import (
    PASSWORD,
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

from watchword.authority.accounts.throttle import ACCOUNT
from watchword.authority.authority import Authority

pytestmark = pytest.mark.both_databases


async def _post(http: AsyncClient, operator: Headers, user: Json, verb: str, body: Json | None = None) -> Json:
    answer: Json = good(await http.post(f"/admin/users/{user['id']}/{verb}", json=body, headers=operator))
    return answer


async def _admin(http: AsyncClient, operator: Headers) -> Json:
    found: Json = good(await http.get("/admin/users?username=admin", headers=operator))["items"][0]
    return found


async def test_disabled_is_dead_and_enabled_brings_nothing_back(http: AsyncClient, operator: Headers) -> None:
    """Old tokens stay dead after enabling, refresh tokens too; a new sign-in works at once."""
    user = await make_user(http, operator)
    old = await sign_in(http)
    assert (await _post(http, operator, user, "disable"))["user"]["disabled"]
    body = {"username": "ada", "password": PASSWORD, "client_id": "watchword"}
    assert await account(http, old) == "user_disabled"
    assert code(await http.post("/login", json=body)) == "sign_in_failed"
    assert code(await refresh(http, old["refresh_token"])) == "invalid_grant"
    assert not (await _post(http, operator, user, "enable"))["user"]["disabled"]
    assert await account(http, old) == "user_disabled"
    assert code(await refresh(http, old["refresh_token"])) == "invalid_grant"
    assert await account(http, await sign_in(http)) == "ok"


async def test_new_roles_need_a_refresh_and_no_sign_in(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """The old token is refused with the hint, the refreshed one carries the new roles; the same set changes nothing."""
    user = await make_user(http, operator, roles=["editor"])
    await make_role(http, operator, "author")
    old = await sign_in(http)
    path = f"/admin/users/{user['id']}/roles"
    same = good(await http.put(path, json={"roles": ["editor", "editor"]}, headers=operator))
    assert same["user"]["roles"] == ["editor"]
    assert await account(http, old) == "ok"
    good(await http.put(path, json={"roles": ["author"]}, headers=operator))
    assert await account(http, old) == "roles_changed"
    new = good(await refresh(http, old["refresh_token"]))
    assert authority.guard.verify(new["access_token"]).roles == {"author"}


@pytest.mark.parametrize("body", [{}, {"roles": ["nobody"]}, {"roles": None}, {"roles": [1]}, {"roles": [], "x": 1}])
async def test_bad_roles_are_refused(http: AsyncClient, operator: Headers, body: Json) -> None:
    """A missing list, an unknown role, the wrong type: 422, and the user stays as they are."""
    user = await make_user(http, operator, roles=["editor"])
    response = await http.put(f"/admin/users/{user['id']}/roles", json=body, headers=operator)
    assert (response.status_code, code(response)) == (422, "invalid_field")
    assert good(await http.get(f"/admin/users/{user['id']}", headers=operator)) == user


async def test_signed_out_everywhere(http: AsyncClient, operator: Headers) -> None:
    """Every session of the user ends, and nobody else's."""
    user = await make_user(http, operator)
    await make_user(http, operator, "bob")
    one, two, bob = await sign_in(http), await sign_in(http), await sign_in(http, "bob")
    assert "position" in await _post(http, operator, user, "sign-out")
    assert [await account(http, tokens) for tokens in (one, two, bob)] == ["signed_out", "signed_out", "ok"]
    assert code(await refresh(http, one["refresh_token"])) == "invalid_grant"
    assert await account(http, await sign_in(http)) == "ok"


async def test_a_reset_password_ends_all_and_must_be_changed(http: AsyncClient, operator: Headers) -> None:
    """The old password and old tokens are dead; the one-time one is shown once and wants to be changed."""
    user = await make_user(http, operator)
    old = await sign_in(http)
    answer = await _post(http, operator, user, "reset-password")
    assert answer["user"]["must_change"]
    assert await account(http, old) == "credentials_changed"
    body = {"username": "ada", "client_id": "watchword"}
    assert code(await http.post("/login", json=body | {"password": PASSWORD})) == "sign_in_failed"
    once = {"password": answer["one_time_password"]}
    assert code(await http.post("/login", json=body | once)) == "password_change_required"
    assert code(await http.post("/login", json=body | once | {"new_password": PASSWORD + "!"})) == "ok"


async def test_a_reset_password_may_be_given_and_enables_nobody(http: AsyncClient, operator: Headers) -> None:
    """A given password is not answered; a disabled user stays disabled; a short one is refused."""
    user = await make_user(http, operator)
    await _post(http, operator, user, "disable")
    answer = await _post(http, operator, user, "reset-password", {"password": PASSWORD + "!"})
    assert "one_time_password" not in answer
    assert (answer["user"]["disabled"], answer["user"]["must_change"]) == (True, True)
    path = f"/admin/users/{user['id']}/reset-password"
    for body in ({"password": "short"}, {"password": 5}, {"pass": PASSWORD}):
        assert code(await http.post(path, json=body, headers=operator)) == "invalid_field"


async def test_a_reset_forgives_failed_attempts(http: AsyncClient, operator: Headers) -> None:
    """Whoever was locked out by wrong passwords signs in at once with the new one."""
    user = await make_user(http, operator)
    body = {"username": "ada", "password": "wrong", "client_id": "watchword"}
    for _ in range(ACCOUNT.free):
        await http.post("/login", json=body)
    assert code(await http.post("/login", json=body)) == "throttled"
    once = (await _post(http, operator, user, "reset-password"))["one_time_password"]
    assert code(await http.post("/login", json=body | {"password": once})) == "password_change_required"


def _as(verb: str) -> Callable[[AsyncClient, Headers, str], Awaitable[str]]:
    async def act(http: AsyncClient, operator: Headers, user: str) -> str:
        path = f"/admin/users/{user}"
        if verb == "delete":
            return code(await http.delete(path, headers=operator))
        if verb == "strip":
            return code(await http.put(f"{path}/roles", json={"roles": []}, headers=operator))
        return code(await http.post(f"{path}/disable", headers=operator))

    return act


@pytest.mark.parametrize("verb", ["delete", "strip", "disable"])
async def test_the_last_administrator_stays(http: AsyncClient, operator: Headers, verb: str) -> None:
    """Whoever is the only one who is enabled cannot be removed, stripped or disabled; with a second one they can."""
    first = await _admin(http, operator)
    second = await make_user(http, operator, "bea", roles=["administrator"])
    await _post(http, operator, second, "disable")  # who cannot sign in does not count
    assert await _as(verb)(http, operator, first["id"]) == "last_administrator"
    assert await _admin(http, operator) == first
    assert good(await http.get("/admin/revocations", headers=operator))["items"][0]["id"] == second["id"]
    await _post(http, operator, second, "enable")
    assert await _as(verb)(http, operator, first["id"]) == "ok"
    assert await _as(verb)(http, operator, second["id"]) == "last_administrator"


async def test_a_disabled_administrator_may_be_removed(http: AsyncClient, operator: Headers) -> None:
    """It takes no power from anybody."""
    second = await make_user(http, operator, "bea", roles=["administrator"])
    await _post(http, operator, second, "disable")
    assert code(await http.delete(f"/admin/users/{second['id']}", headers=operator)) == "ok"


async def test_an_administrator_acts_under_their_own_name(http: AsyncClient, operator: Headers) -> None:
    """The audit log names who did it, to whom, and from where."""
    bea = await make_user(http, operator, "bea", roles=["administrator"])
    ada = await make_user(http, operator)
    token = bearer(await sign_in(http, "bea"))
    good(await http.post(f"/admin/users/{ada['id']}/disable", headers=token))
    line = good(await http.get("/admin/audit?limit=1", headers=operator))["items"][0]
    facts = (line["actor"], line["action"], line["target"], line["outcome"], line["address"])
    assert facts == (bea["id"], "disable_user", ada["id"], "done", "127.0.0.1")
