"""The audit log: a line for each change, found by who, what and whom, and never a secret."""

import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from tests.authority.helpers import (
    PASSWORD,
    Headers,
    Json,
    bearer,
    good,
    make_audience,
    make_client,
    make_role,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.authority import Authority
from watchword.authority.operator import operator_token
from watchword.authority.schema import audit, clients, keys, refresh_tokens, users

pytestmark = pytest.mark.both_databases

Prepare = Callable[[AsyncClient, Headers], Awaitable[str]]


async def _user(http: AsyncClient, operator: Headers) -> str:
    return str((await make_user(http, operator))["id"])


async def _client(http: AsyncClient, operator: Headers) -> str:
    return (await make_client(http, operator, "svc"))[0]


async def _role(http: AsyncClient, operator: Headers) -> str:
    await make_role(http, operator, "editor")
    return "editor"


async def _audience(http: AsyncClient, operator: Headers) -> str:
    await make_audience(http, operator, "orders")
    return "orders"


async def _session(http: AsyncClient, operator: Headers) -> str:
    await make_user(http, operator)
    await sign_in(http)
    return str(good(await http.get("/admin/sessions", headers=operator))["items"][0]["id"])


async def _nothing(http: AsyncClient, operator: Headers) -> str:
    return ""


CHANGES: list[tuple[Prepare, str, str, Json | None, str]] = [
    (_user, "PATCH", "/users/{}", {"display_name": "A"}, "change_user"),
    (_user, "PUT", "/users/{}/roles", {"roles": []}, "set_user_roles"),
    (_user, "POST", "/users/{}/disable", None, "disable_user"),
    (_user, "POST", "/users/{}/enable", None, "enable_user"),
    (_user, "POST", "/users/{}/sign-out", None, "sign_out_user"),
    (_user, "POST", "/users/{}/reset-password", None, "reset_password"),
    (_user, "DELETE", "/users/{}", None, "delete_user"),
    (_role, "POST", "/roles/{}/rename", {"name": "author"}, "rename_role"),
    (_role, "DELETE", "/roles/{}", None, "delete_role"),
    (_audience, "DELETE", "/audiences?name={}", None, "delete_audience"),
    (_client, "PATCH", "/clients/{}", {"name": "A"}, "change_client"),
    (_client, "POST", "/clients/{}/secret", None, "renew_client_secret"),
    (_client, "POST", "/clients/{}/disable", None, "disable_client"),
    (_client, "POST", "/clients/{}/enable", None, "enable_client"),
    (_client, "DELETE", "/clients/{}", None, "delete_client"),
    (_session, "DELETE", "/sessions/{}", None, "end_session"),
    (_nothing, "POST", "/keys/withdraw-all", None, "withdraw_all_keys"),
    (_nothing, "POST", "/revocations", {"scope": "everyone"}, "revoke"),
    (_nothing, "POST", "/revocations", {"scope": "token", "id": "t"}, "revoke"),
]


@pytest.mark.parametrize(("prepare", "method", "path", "body", "action"), CHANGES)
async def test_each_change_is_one_line(
    http: AsyncClient,
    operator: Headers,
    authority: Authority,
    prepare: Prepare,
    method: str,
    path: str,
    body: Json | None,
    action: str,
) -> None:
    """Who, what, to whom and from where; a refused change leaves none."""
    target = await prepare(http, operator)
    async with authority.database.reading() as connection:
        before = len((await connection.execute(select(audit.c.id))).all())
    refused = f"/admin{path.format(target)}{'&' if '?' in path else '?'}unknown=1"
    assert (await http.request(method, refused, json=body, headers=operator)).status_code in (400, 422)
    good(await http.request(method, f"/admin{path.format(target)}", json=body, headers=operator))
    fresh = bearer(await operator_token(authority))
    lines = good(await http.get("/admin/audit?limit=500", headers=fresh))["items"]
    assert len(lines) == before + 1
    expected = {"actor": "operator", "action": action, "target": target or (body or {}).get("id", "")}
    assert expected.items() <= lines[0].items()
    assert (lines[0]["outcome"], lines[0]["address"]) == ("done", "127.0.0.1")


async def test_lines_are_found_by_actor_action_and_target(http: AsyncClient, operator: Headers) -> None:
    """Each by itself and together, newest first, page by page."""
    ada, bob = await make_user(http, operator), await make_user(http, operator, "bob")
    await sign_in(http)

    async def found(**query: str | int) -> list[tuple[str, str]]:
        page = good(await http.get("/admin/audit", params=query, headers=operator))
        return [(line["action"], line["target"]) for line in page["items"]]

    assert await found(action="add_user") == [("add_user", bob["id"]), ("add_user", ada["id"])]
    assert await found(action="add_user", target=ada["id"], actor="operator") == [("add_user", ada["id"])]
    assert [action for action, _ in await found(actor=ada["id"])] == ["sign_in"]
    assert await found(actor="nobody") == []
    first = good(await http.get("/admin/audit?limit=1", headers=operator))
    rest = good(await http.get("/admin/audit", params={"after": first["next"]}, headers=operator))["items"]
    numbers = [line["id"] for line in first["items"] + rest]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 4


async def test_no_secret_is_told(
    http: AsyncClient, operator: Headers, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords, hashes, tokens, client secrets, private keys: in no log line, audit row, list or document."""
    caplog.set_level(logging.DEBUG)
    user = await make_user(http, operator, roles=["administrator"])
    client = await make_client(http, operator, "web", audiences=["http://127.0.0.1:8000"])
    told = [PASSWORD, client[1]]
    for tokens in (await sign_in(http), await sign_in(http, client=client)):
        told += [tokens["access_token"], tokens["refresh_token"]]
    again = good(await refresh(http, told[-1] or "", client))
    told += [again["access_token"], again["refresh_token"]]
    await http.post("/login", json={"username": "ada", "password": "a wrong password", "client_id": "watchword"})
    told.append("a wrong password")
    told.append(good(await http.post("/admin/clients/web/secret", headers=operator))["client_secret"])
    path = f"/admin/users/{user['id']}/reset-password"
    told.append(good(await http.post(path, headers=operator))["one_time_password"])
    good(await http.post("/admin/keys/rotate", headers=operator))
    told.append(operator["Authorization"].removeprefix("Bearer "))
    async with authority.database.reading() as connection:
        told += (await connection.execute(select(users.c.password_hash))).scalars().all()
        told += (await connection.execute(select(refresh_tokens.c.hash))).scalars().all()
        told += [text for text in (await connection.execute(select(clients.c.secret_hash))).scalars() if text]
        rows = [dict(row) for row in (await connection.execute(select(audit))).mappings()]
        private = (await authority.keyring.current(connection)).to_pem().splitlines()[1]
        kept = (await connection.execute(select(keys.c.jwk))).scalars().all()
    told.append(private)
    assert '"d"' not in str(kept)
    shown = [caplog.text, str([record.__dict__ for record in caplog.records]), json.dumps(rows, default=str)]
    lists = ("users", "clients", "sessions", "keys", "revocations", "audit", "status", "roles", "audiences")
    shown += [(await http.get(f"/admin/{path}", headers=operator)).text for path in lists]
    shown += [(await http.get("/openapi.json")).text, (await http.get("/.well-known/jwks.json")).text]
    assert len(told) > 12
    for secret in told:
        assert secret
        assert not [text[:80] for text in shown if secret in text], secret[:12]
