"""What signed-in users see and do about themselves."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import Headers, account, bearer, code, good, make_user, refresh, sign_in

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def ada(http: AsyncClient, operator: Headers) -> dict[str, Any]:
    """Ada, an editor."""
    return await make_user(http, operator, "ada", roles=["editor"], display_name="Ada Lovelace")


async def _sessions(http: AsyncClient, tokens: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = good(await http.get("/account/sessions", headers=bearer(tokens)))["items"]
    return items


async def test_i_see_who_i_am(http: AsyncClient, ada: Any) -> None:
    """Id, names, roles and this session."""
    me = good(await http.get("/account", headers=bearer(await sign_in(http))))
    session = me.pop("session")
    assert me == {"id": ada["id"], "username": "ada", "display_name": "Ada Lovelace", "roles": ["editor"]}
    assert session.startswith("s_")


async def test_i_see_my_devices_and_no_others(http: AsyncClient, operator: Headers, ada: Any) -> None:
    """Each sign-in is a session with its label; mine are marked, others' are not there."""
    await make_user(http, operator, "grace")
    await sign_in(http, "grace")
    await sign_in(http, label="phone")
    here = await sign_in(http, label="laptop")
    shown = {item["label"]: item["current"] for item in await _sessions(http, here)}
    assert shown == {"phone": False, "laptop": True}


async def test_ending_one_session_ends_that_device_only(http: AsyncClient, ada: Any) -> None:
    """The stolen phone's tokens die, its refresh token too; the laptop goes on."""
    phone, laptop = await sign_in(http, label="phone"), await sign_in(http, label="laptop")
    stolen = next(item["id"] for item in await _sessions(http, laptop) if item["label"] == "phone")
    good(await http.delete(f"/account/sessions/{stolen}", headers=bearer(laptop)))
    assert (await account(http, phone), await account(http, laptop)) == ("session_ended", "ok")
    assert code(await refresh(http, phone["refresh_token"])) == "invalid_grant"
    assert [item["label"] for item in await _sessions(http, laptop)] == ["laptop"]


async def test_ending_the_others_keeps_this_one(http: AsyncClient, ada: Any) -> None:
    """Every other device is signed out."""
    others, here = [await sign_in(http) for _ in range(3)], await sign_in(http)
    good(await http.delete("/account/sessions", headers=bearer(here)))
    assert {await account(http, other) for other in others} == {"session_ended"}
    assert await account(http, here) == "ok"
    assert len(await _sessions(http, here)) == 1


async def test_an_ended_session_is_not_found(http: AsyncClient, ada: Any) -> None:
    """Ending it again would only make the log grow."""
    phone, laptop = await sign_in(http, label="phone"), await sign_in(http)
    (session,) = [item["id"] for item in await _sessions(http, phone) if item["label"] == "phone"]
    assert code(await http.delete(f"/account/sessions/{session}", headers=bearer(laptop))) == "ok"
    assert code(await http.delete(f"/account/sessions/{session}", headers=bearer(laptop))) == "not_found"


async def test_a_token_without_a_session_signs_itself_out(http: AsyncClient, operator: Headers) -> None:
    """What has no session to end ends itself."""
    assert code(await http.post("/logout", json={}, headers=operator)) == "ok"
    assert code(await http.get("/admin/status", headers=operator)) == "token_revoked"


async def test_nobody_ends_anothers_session(http: AsyncClient, operator: Headers, ada: Any) -> None:
    """It is not found, as if it did not exist."""
    await make_user(http, operator, "grace")
    graces, adas = await sign_in(http, "grace"), await sign_in(http)
    (session,) = await _sessions(http, graces)
    assert code(await http.delete(f"/account/sessions/{session['id']}", headers=bearer(adas))) == "not_found"
    assert await account(http, graces) == "ok"


@pytest.mark.parametrize(("everywhere", "other"), [(False, "ok"), (True, "signed_out")])
async def test_signing_out_ends_this_session_or_all(
    http: AsyncClient, ada: Any, *, everywhere: bool, other: str
) -> None:
    """Everywhere means every device; a new sign-in works at once."""
    there, here = await sign_in(http), await sign_in(http)
    good(await http.post("/logout", json={"everywhere": everywhere}, headers=bearer(here)))
    assert await account(http, here) == ("signed_out" if everywhere else "session_ended")
    assert await account(http, there) == other
    assert await account(http, await sign_in(http)) == "ok"


async def test_the_operator_has_no_account(http: AsyncClient, operator: Headers) -> None:
    """The operator on the machine is no user: there is nothing to show and nothing to break."""
    assert code(await http.get("/account", headers=operator)) == "not_found"
    assert code(await http.get("/account/sessions", headers=operator)) == "not_found"
    body = {"password": "x", "new_password": "a new and long password"}
    assert code(await http.post("/account/password", json=body, headers=operator)) == "not_found"
