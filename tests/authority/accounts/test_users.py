"""Users, as administrators keep them."""

from typing import Any

import msgspec
import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import PASSWORD, Headers, account, code, good, make_role, make_user, sign_in

from watchword.authority.authority import Authority
from watchword.authority.settings import Settings

pytestmark = pytest.mark.both_databases

DEEP: Any = {"department": [[[[1]]]]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Users may carry two claims of the operator's own."""
    return msgspec.structs.replace(settings, claims=["department", "level"])


async def test_an_added_user_is_shown_and_signs_in(http: AsyncClient, operator: Headers) -> None:
    """What was sent comes back, by id and in the list, and the password works."""
    more: dict[str, Any] = {"display_name": "Ada L. ☂", "claims": {"department": "engines"}}
    made = await make_user(http, operator, "ada", roles=["editor", "author"], **more)
    assert made["id"].startswith("u_")
    shown = {"username": "ada", "roles": ["author", "editor"], "disabled": False, "must_change": False, **more}
    assert {name: made[name] for name in shown} == shown
    assert good(await http.get(f"/admin/users/{made['id']}", headers=operator)) == made
    assert good(await http.get("/admin/users?username=ada", headers=operator))["items"] == [made]
    assert await account(http, await sign_in(http)) == "ok"


async def test_without_a_password_a_one_time_one_is_made(http: AsyncClient, operator: Headers) -> None:
    """It is shown in this answer only, and is good for nothing but its own change."""
    answer = good(await http.post("/admin/users", json={"username": "ada"}, headers=operator))
    once, identifier = answer["one_time_password"], answer["user"]["id"]
    assert answer["user"]["must_change"]
    assert once not in (await http.get(f"/admin/users/{identifier}", headers=operator)).text
    body = {"username": "ada", "password": once, "client_id": "watchword"}
    assert code(await http.post("/login", json=body)) == "password_change_required"
    assert code(await http.post("/login", json=body | {"new_password": PASSWORD})) == "ok"


async def test_a_given_password_is_never_answered(http: AsyncClient, operator: Headers) -> None:
    """Nobody but the one who chose it needs to see it."""
    response = await http.post("/admin/users", json={"username": "ada", "password": PASSWORD}, headers=operator)
    assert PASSWORD not in response.text
    assert "one_time_password" not in response.json()


BAD: list[tuple[Any, str]] = [
    ({}, "username"),
    ({"username": ""}, "username"),
    ({"username": "Ada"}, "username"),
    ({"username": "a da"}, "username"),
    ({"username": "ada\n"}, "username"),
    ({"username": "é"}, "username"),
    ({"username": "a" * 129}, "username"),
    ({"username": 5}, "username"),
    ({"username": None}, "username"),
    ({"username": "ada", "password": "short"}, "password"),
    ({"username": "ada", "password": ""}, "password"),
    ({"username": "ada", "password": "x" * 1025}, "password"),
    ({"username": "ada", "display_name": "two\nlines"}, "display_name"),
    ({"username": "ada", "display_name": "end\n"}, "display_name"),
    ({"username": "ada", "display_name": "x" * 201}, "display_name"),
    ({"username": "ada", "roles": ["nobody"]}, "roles"),
    ({"username": "ada", "roles": ["No Role"]}, "roles[0]"),
    ({"username": "ada", "roles": "editor"}, "roles"),
    ({"username": "ada", "roles": ["editor"] * 101}, "roles"),
    ({"username": "ada", "claims": {"email": "ada@example.org"}}, "claims"),
    ({"username": "ada", "claims": {"level": "x" * 5000}}, "claims"),
    ({"username": "ada", "claims": []}, "claims"),
    ({"username": "ada", "admin": True}, "admin"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_bad_input_is_refused_by_field(http: AsyncClient, operator: Headers, body: Any, field: str) -> None:
    """422 with the field's name; nobody is added and no value comes back."""
    response = await http.post("/admin/users", json=body, headers=operator)
    assert (response.status_code, code(response)) == (422, "invalid_field")
    assert response.json()["field"] == field
    assert len(good(await http.get("/admin/users", headers=operator))["items"]) == 1
    assert "example.org" not in response.text


async def test_a_name_is_taken_once(http: AsyncClient, operator: Headers) -> None:
    """A second user of a name is a conflict."""
    await make_user(http, operator)
    response = await http.post("/admin/users", json={"username": "ada"}, headers=operator)
    assert (response.status_code, code(response)) == (409, "conflict")


async def test_who_is_unknown_is_not_found(http: AsyncClient, operator: Headers) -> None:
    """Every verb about one user answers 404 for an id that nobody has, a name among them."""
    await make_user(http, operator)
    verbs: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("PUT", "/roles", {"roles": []}),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
        ("POST", "/sign-out", None),
        ("POST", "/reset-password", {}),
    ]
    for method, verb, body in verbs:
        response = await http.request(method, f"/admin/users/ada{verb}", json=body, headers=operator)
        assert (method, verb, response.status_code) == (method, verb, 404)


async def test_what_is_left_out_stays(http: AsyncClient, operator: Headers) -> None:
    """A change of one field leaves the others; an empty one changes nothing; a wrong one is refused."""
    made = await make_user(http, operator, display_name="Ada", claims={"level": 3})
    path = f"/admin/users/{made['id']}"
    answer = good(await http.patch(path, json={"display_name": "Countess"}, headers=operator))
    assert answer["user"] == made | {"display_name": "Countess"}
    answer = good(await http.patch(path, json={"claims": {}}, headers=operator))
    assert answer["user"] == made | {"display_name": "Countess", "claims": {}}
    assert good(await http.patch(path, json={}, headers=operator))["user"] == answer["user"]
    for body in ({"username": "eve"}, {"claims": {"email": "x"}}, {"display_name": None}):
        assert code(await http.patch(path, json=body, headers=operator)) == "invalid_field"


async def test_declared_claims_go_into_tokens(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """The operator's own claims are in the token, and nothing else of the user's row."""
    await make_user(http, operator, display_name="Ada L.", claims=DEEP)
    caller = authority.guard.verify((await sign_in(http))["access_token"])
    assert caller.claims["department"] == DEEP["department"]
    assert not {"display_name", "username", "password_hash"} & caller.claims.keys()


async def test_the_list_is_paged_by_name(http: AsyncClient, operator: Headers) -> None:
    """Pages follow one another without a repetition or a gap, also when somebody comes and goes between two."""
    for name in ("e", "b", "d", "a", "c"):
        await make_user(http, operator, name)
    seen: list[str] = []
    after = ""
    while True:
        page = good(await http.get("/admin/users", params={"limit": 2, "after": after}, headers=operator))
        seen += [user["username"] for user in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
        if len(seen) == 2:
            await make_user(http, operator, "aa")
    assert seen == ["a", "admin", "b", "c", "d", "e"]


async def test_a_search_is_by_the_beginning(http: AsyncClient, operator: Headers) -> None:
    """What is special to the database is a character like any other."""
    for name in ("a_b", "axb", "b"):
        await make_user(http, operator, name)

    async def found(search: str) -> list[str]:
        page = good(await http.get("/admin/users", params={"search": search}, headers=operator))
        return [user["username"] for user in page["items"]]

    assert await found("a") == ["a_b", "admin", "axb"]
    assert await found("a_") == ["a_b"]
    assert await found("%") == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "after=x", "after=WzFd", "after=WyJhIiwiYiJd", "who=1", "limit=1&limit=2"],
)
async def test_a_bad_page_is_refused(http: AsyncClient, operator: Headers, query: str) -> None:
    """A limit out of range, a cursor that is none or another list's, an unknown parameter, a repeated one."""
    response = await http.get(f"/admin/users?{query}", headers=operator)
    assert response.status_code in (400, 422)


async def test_a_deleted_users_tokens_stay_dead(http: AsyncClient, operator: Headers) -> None:
    """Also when a new user of the same name signs in: it is somebody else."""
    first = await make_user(http, operator)
    old = await sign_in(http)
    good(await http.delete(f"/admin/users/{first['id']}", headers=operator))
    assert await account(http, old) == "user_deleted"
    second = await make_user(http, operator)
    assert second["id"] != first["id"]
    assert await account(http, await sign_in(http)) == "ok"
    assert await account(http, old) == "user_deleted"
    assert code(await http.get(f"/admin/users/{first['id']}", headers=operator)) == "not_found"
    listed = good(await http.get("/admin/sessions", headers=operator))["items"]
    assert [session["user"] for session in listed] == [second["id"]]


async def test_only_administrators_come_here(http: AsyncClient, operator: Headers) -> None:
    """Nobody without a token, and nobody whose roles are others."""
    await make_role(http, operator, "editor")
    await make_user(http, operator, roles=["editor"])
    tokens = await sign_in(http)
    assert code(await http.get("/admin/users")) == "no_token"
    response = await http.get("/admin/users", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert (response.status_code, code(response)) == (403, "not_permitted")
