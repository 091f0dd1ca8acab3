"""Roles: made, renamed and removed, for those who have them too."""

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import (
    Headers,
    Json,
    account,
    code,
    good,
    make_client,
    make_role,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.authority import Authority

pytestmark = pytest.mark.both_databases


async def _names(http: AsyncClient, operator: Headers) -> list[str]:
    return [role["name"] for role in good(await http.get("/admin/roles", headers=operator))["items"]]


async def test_a_role_is_added_once(http: AsyncClient, operator: Headers) -> None:
    """It is in the list with its description; a second of the name is a conflict."""
    body = {"name": "orders:write", "description": "may write orders"}
    response = await http.post("/admin/roles", json=body, headers=operator)
    assert response.status_code == 201
    assert response.json()["role"] == body
    assert body in good(await http.get("/admin/roles", headers=operator))["items"]
    assert code(await http.post("/admin/roles", json=body, headers=operator)) == "conflict"


@pytest.mark.parametrize("name", ["", "Editor", "1st", "a b", "é", "a" * 65, "editor\n", None, 5])
async def test_bad_names_are_refused(http: AsyncClient, operator: Headers, name: object) -> None:
    """For a new role and for a new name: 422 that names the field."""
    await make_role(http, operator, "editor")
    for path in ("/admin/roles", "/admin/roles/editor/rename"):
        response = await http.post(path, json={"name": name}, headers=operator)
        assert (response.status_code, response.json()["field"]) == (422, "name")
    assert await _names(http, operator) == ["administrator", "editor"]


async def test_a_renamed_role_goes_on_with_its_users(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """Tokens with the old name die, also of clients; a refresh brings the new name; others notice nothing."""
    await make_user(http, operator, roles=["editor"])
    await make_user(http, operator, "bob", roles=["author"])
    await make_client(http, operator, "svc", grants=["client_credentials"], roles=["editor"])
    ada, bob = await sign_in(http), await sign_in(http, "bob")
    answer = good(await http.post("/admin/roles/editor/rename", json={"name": "redactor"}, headers=operator))
    assert answer["role"] == {"name": "redactor", "description": ""}
    assert [await account(http, ada), await account(http, bob)] == ["roles_changed", "ok"]
    again = good(await refresh(http, ada["refresh_token"]))
    assert authority.guard.verify(again["access_token"]).roles == {"redactor"}
    assert good(await http.get("/admin/clients/svc", headers=operator))["roles"] == ["redactor"]
    assert await _names(http, operator) == ["administrator", "author", "redactor"]


async def test_a_removed_role_is_nobodys(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """Tokens that carry it die, also after a role of that name is made again; the session lives without it."""
    user = await make_user(http, operator, roles=["editor", "author"])
    old = await sign_in(http)
    good(await http.delete("/admin/roles/editor", headers=operator))
    assert await account(http, old) == "roles_changed"
    assert good(await http.get(f"/admin/users/{user['id']}", headers=operator))["roles"] == ["author"]
    await make_role(http, operator, "editor")
    assert await account(http, old) == "roles_changed"
    again = good(await refresh(http, old["refresh_token"]))
    assert authority.guard.verify(again["access_token"]).roles == {"author"}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/admin/roles/administrator/rename", {"name": "boss"}, "conflict"),
        ("DELETE", "/admin/roles/administrator", None, "conflict"),
        ("POST", "/admin/roles/editor/rename", {"name": "administrator"}, "conflict"),
        ("POST", "/admin/roles/editor/rename", {"name": "editor"}, "conflict"),
        ("POST", "/admin/roles/nobody/rename", {"name": "boss"}, "not_found"),
        ("DELETE", "/admin/roles/nobody", None, "not_found"),
        ("POST", "/admin/roles/editor/rename", {}, "invalid_field"),
    ],
)
async def test_what_cannot_be(
    http: AsyncClient, operator: Headers, method: str, path: str, body: Json | None, expected: str
) -> None:
    """The authority's own role stays, a name is taken once, and what is not there is not found: nothing is cut."""
    await make_role(http, operator, "editor")
    assert code(await http.request(method, path, json=body, headers=operator)) == expected
    assert await _names(http, operator) == ["administrator", "editor"]
    assert good(await http.get("/admin/revocations", headers=operator))["items"] == []
