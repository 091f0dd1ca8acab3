"""Clients and audiences, as administrators keep them."""

from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from tests.authority.helpers import (
    ISSUER,
    OWN_CLIENT,
    Headers,
    Json,
    account,
    code,
    good,
    make_audience,
    make_client,
    make_role,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.authority import Authority
from watchword.core.verifier import Verifier

pytestmark = pytest.mark.both_databases

SERVICE: Json = {"id": "svc", "grants": ["client_credentials"], "audiences": ["orders"]}


async def _token(http: AsyncClient, client: tuple[str, str | None], **more: str) -> Response:
    form = {"grant_type": "client_credentials", "client_id": client[0], "client_secret": client[1] or "", **more}
    return await http.post("/token", data=form)


def _judged(authority: Authority, token: str) -> str:
    """What a guard of any audience that follows the log would say, by the cutoffs alone."""
    known = authority.source.known
    assert known is not None
    knowledge = known.knowledge
    verifier = Verifier(ISSUER, "orders", knowledge.keys, max_lifetime=timedelta(hours=1))
    caller = verifier.verify(token)
    refusal = knowledge.judge(
        caller.position,
        client=caller.client or "",
        roles=caller.roles,
        subject=caller.subject,
        session=caller.session or "",
        token=caller.token_id or "",
    )
    return refusal.code if refusal else "ok"


async def test_an_added_client_is_shown_and_works(http: AsyncClient, operator: Headers) -> None:
    """Its secret is in this answer and nowhere else, and earns tokens."""
    await make_role(http, operator, "worker")
    await make_audience(http, operator, "orders")
    body = SERVICE | {"name": "A service", "scope": "read write", "lifetime": 60, "roles": ["worker"]}
    response = await http.post("/admin/clients", json=body, headers=operator)
    assert response.status_code == 201
    made = response.json()
    assert body.items() <= made["client"].items()
    assert (made["client"]["public"], made["client"]["disabled"]) == (False, False)
    shown = await http.get("/admin/clients/svc", headers=operator)
    assert good(shown) == made["client"]
    assert made["client_secret"] not in shown.text
    assert made["client"] in good(await http.get("/admin/clients", headers=operator))["items"]
    assert good(await _token(http, ("svc", made["client_secret"])))["expires_in"] == 60


async def test_a_public_client_has_no_secret(http: AsyncClient, operator: Headers) -> None:
    """It signs users in, and whoever names it gets nothing without a user."""
    client = await make_client(http, operator, "app", audiences=[ISSUER], public=True)
    assert client == ("app", None)
    await make_user(http, operator)
    assert await account(http, await sign_in(http, client=client)) == "ok"
    assert code(await http.post("/admin/clients/app/secret", headers=operator)) == "conflict"
    for grants in (["client_credentials"], ["feed"], ["login", "data"]):
        body = {"id": "other", "grants": grants, "audiences": [], "public": True}
        for method, path, sent in (
            ("POST", "/admin/clients", body),
            ("PATCH", "/admin/clients/app", {"grants": grants}),
        ):
            response = await http.request(method, path, json=sent, headers=operator)
            assert (code(response), response.json()["field"]) == ("invalid_field", "grants")


BAD: list[tuple[Any, str]] = [
    ({"id": "Svc"}, "id"),
    ({"id": "a_b"}, "id"),
    ({"id": "svc\n"}, "id"),
    ({"id": "x" * 65}, "id"),
    ({"grants": []}, "grants"),
    ({"grants": ["password"]}, "grants[0]"),
    ({"grants": "login"}, "grants"),
    ({"audiences": ["nowhere"]}, "audiences"),
    ({"audiences": ["or ders"]}, "audiences[0]"),
    ({"scope": "a  b"}, "scope"),
    ({"scope": ' a"'}, "scope"),
    ({"scope": "é"}, "scope"),
    ({"lifetime": 0}, "lifetime"),
    ({"lifetime": 3601}, "lifetime"),
    ({"lifetime": 90000}, "lifetime"),
    ({"lifetime": "60"}, "lifetime"),
    ({"roles": ["nobody"]}, "roles"),
    ({"secret": "mine"}, "secret"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
async def test_bad_input_is_refused_by_field(http: AsyncClient, operator: Headers, wrong: Json, field: str) -> None:
    """422 with the field's name for a new client and for a change, and nothing is kept of either."""
    await make_audience(http, operator, "orders")
    response = await http.post("/admin/clients", json=SERVICE | wrong, headers=operator)
    assert (response.status_code, response.json().get("field")) == (422, field)
    assert code(await http.get("/admin/clients/svc", headers=operator)) == "not_found"
    await make_client(http, operator, "svc", grants=["client_credentials"])
    before = good(await http.get("/admin/clients/svc", headers=operator))
    assert code(await http.patch("/admin/clients/svc", json=wrong, headers=operator)) == "invalid_field"
    assert good(await http.get("/admin/clients/svc", headers=operator)) == before


@pytest.mark.parametrize("taken", ["svc", OWN_CLIENT, "operator"])
async def test_an_id_is_taken_once(http: AsyncClient, operator: Headers, taken: str) -> None:
    """A second client of an id is a conflict, and nobody may be called as the operator is in the audit log."""
    await make_client(http, operator, "svc")
    response = await http.post("/admin/clients", json=SERVICE | {"id": taken}, headers=operator)
    assert (response.status_code, code(response)) == (409, "conflict")


async def test_what_is_left_out_stays(http: AsyncClient, operator: Headers) -> None:
    """A change of one field leaves the others; null takes the lifetime back to the default."""
    await make_client(http, operator, "svc", scope="read", lifetime=60)
    before = good(await http.get("/admin/clients/svc", headers=operator))
    answer = good(await http.patch("/admin/clients/svc", json={"name": "New", "lifetime": None}, headers=operator))
    assert answer["client"] == before | {"name": "New", "lifetime": None}
    assert good(await http.patch("/admin/clients/svc", json={}, headers=operator))["client"] == answer["client"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"scope": "read"}, "roles_changed"),
        ({"grants": ["data"]}, "roles_changed"),
        ({"audiences": []}, "roles_changed"),
        ({"roles": []}, "roles_changed"),
        ({"roles": ["worker", "boss"]}, "roles_changed"),
        ({"scope": "write read more", "name": "New", "lifetime": 30}, "ok"),
        ({"audiences": ["orders", ISSUER], "grants": ["client_credentials", "login"]}, "ok"),
    ],
)
async def test_what_a_client_loses_its_tokens_lose(
    http: AsyncClient, operator: Headers, authority: Authority, change: Json, expected: str
) -> None:
    """Less scope, fewer grants or audiences and other roles cut its older tokens; more of them does not."""
    await make_role(http, operator, "boss")
    client = await make_client(
        http, operator, "svc", grants=["client_credentials"], scope="read write", roles=["worker"]
    )
    token = good(await _token(http, client))["access_token"]
    assert _judged(authority, token) == "ok"
    good(await http.patch("/admin/clients/svc", json=change, headers=operator))
    assert _judged(authority, token) == expected


async def test_a_client_that_loses_scope_keeps_its_sessions(http: AsyncClient, operator: Headers) -> None:
    """The users' access tokens die, and a refresh brings what is left."""
    await make_user(http, operator)
    client = await make_client(http, operator, "web", audiences=[ISSUER], scope="read write")
    old = await sign_in(http, client=client)
    good(await http.patch("/admin/clients/web", json={"scope": "read"}, headers=operator))
    assert await account(http, old) == "roles_changed"
    again = good(await refresh(http, old["refresh_token"], client))
    assert (again["scope"], await account(http, again)) == ("read", "ok")


@pytest.mark.parametrize("verb", ["secret", "disable", "delete", "revoke"])
async def test_an_end_of_a_client_ends_all_it_was_given(
    http: AsyncClient, operator: Headers, authority: Authority, verb: str
) -> None:
    """Its own tokens, its users' tokens and their sessions; other clients' go on."""
    await make_user(http, operator)
    grants, audiences = ["login", "client_credentials"], [ISSUER, "orders"]
    client = await make_client(http, operator, "web", grants=grants, audiences=audiences)
    user, other = await sign_in(http, client=client, audience=ISSUER), await sign_in(http)
    own = good(await _token(http, client, audience="orders"))["access_token"]
    if verb == "delete":
        good(await http.delete("/admin/clients/web", headers=operator))
    elif verb == "revoke":
        good(await http.post("/admin/revocations", json={"scope": "client", "id": "web"}, headers=operator))
    else:
        good(await http.post(f"/admin/clients/web/{verb}", headers=operator))
    assert [await account(http, tokens) for tokens in (user, other)] == ["client_revoked", "ok"]
    assert _judged(authority, own) == "client_revoked"
    ended = "invalid_grant" if verb == "revoke" else "invalid_client"
    assert (await refresh(http, user["refresh_token"], client)).json()["error"] == ended


async def test_a_new_secret_takes_the_place_of_the_old(http: AsyncClient, operator: Headers) -> None:
    """The old one is refused, the new one works at once."""
    client = await make_client(http, operator, "svc", grants=["client_credentials"])
    answer = good(await http.post("/admin/clients/svc/secret", headers=operator))
    assert code(await _token(http, client)) == "invalid_client"
    assert code(await _token(http, ("svc", answer["client_secret"]))) == "ok"


async def test_enabled_again_it_works_and_nothing_old_comes_back(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """A disabled client gets nothing; enabled, it gets new tokens and its old ones stay dead."""
    client = await make_client(http, operator, "svc", grants=["client_credentials"])
    old = good(await _token(http, client))["access_token"]
    assert good(await http.post("/admin/clients/svc/disable", headers=operator))["client"]["disabled"]
    assert code(await _token(http, client)) == "invalid_client"
    assert not good(await http.post("/admin/clients/svc/enable", headers=operator))["client"]["disabled"]
    assert _judged(authority, old) == "client_revoked"
    assert _judged(authority, good(await _token(http, client))["access_token"]) == "ok"


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("DELETE", "", None, "conflict"),
        ("POST", "/disable", None, "conflict"),
        ("POST", "/secret", None, "conflict"),
        ("PATCH", "", {"grants": ["login"]}, "conflict"),
        ("PATCH", "", {"audiences": []}, "conflict"),
        ("PATCH", "", {"lifetime": 30}, "ok"),
    ],
)
async def test_the_own_client_stays(
    http: AsyncClient, operator: Headers, method: str, path: str, body: Json | None, expected: str
) -> None:
    """Administrators sign in with it, so it can be neither removed nor made useless."""
    response = await http.request(method, f"/admin/clients/{OWN_CLIENT}{path}", json=body, headers=operator)
    assert code(response) == expected


async def test_who_is_unknown_is_not_found(http: AsyncClient, operator: Headers) -> None:
    """Every verb about one client answers 404 for an id that none has."""
    for method, path in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/secret"),
        ("POST", "/disable"),
        ("POST", "/enable"),
    ]:
        body: Json | None = {} if method == "PATCH" else None
        response = await http.request(method, f"/admin/clients/nobody{path}", json=body, headers=operator)
        assert (method, path, response.status_code) == (method, path, 404)


async def test_an_audience_comes_and_goes(http: AsyncClient, operator: Headers) -> None:
    """It is added once, stays while a client names it, and may be an address."""
    name = "https://orders.example/api"
    response = await http.post("/admin/audiences", json={"name": name}, headers=operator)
    assert (response.status_code, response.json()["audience"]["name"]) == (201, name)
    assert code(await http.post("/admin/audiences", json={"name": name}, headers=operator)) == "conflict"
    listed = good(await http.get("/admin/audiences", headers=operator))["items"]
    assert [audience["name"] for audience in listed] == [ISSUER, name]
    await make_client(http, operator, "web", audiences=[name])
    gone = {"name": name}
    assert code(await http.delete("/admin/audiences", params=gone, headers=operator)) == "conflict"
    good(await http.patch("/admin/clients/web", json={"audiences": []}, headers=operator))
    assert code(await http.delete("/admin/audiences", params=gone, headers=operator)) == "ok"
    assert code(await http.delete("/admin/audiences", params=gone, headers=operator)) == "not_found"


@pytest.mark.parametrize("name", ["", "two words", "é", "x" * 256, "tab\t", "end\n"])
async def test_bad_audiences_are_refused(http: AsyncClient, operator: Headers, name: str) -> None:
    """422 that names the field, in a body and in a query."""
    response = await http.post("/admin/audiences", json={"name": name}, headers=operator)
    assert (response.status_code, response.json()["field"]) == (422, "name")
    assert code(await http.delete("/admin/audiences", params={"name": name}, headers=operator)) == "invalid_field"


async def test_the_own_audience_stays(http: AsyncClient, operator: Headers) -> None:
    """The authority's own API is always an audience; a removal without a name is refused."""
    assert code(await http.delete("/admin/audiences", params={"name": ISSUER}, headers=operator)) == "conflict"
    assert code(await http.delete("/admin/audiences", headers=operator)) == "invalid_field"
