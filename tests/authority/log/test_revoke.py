"""Revocation by whoever holds the token (RFC 7009)."""

from typing import Any

import msgspec
import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select
from tests.authority.helpers import Headers, account, code, good, make_client, make_user, refresh, sign_in

from watchword.authority.authority import Authority
from watchword.authority.schema import entries

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def tokens(http: AsyncClient, operator: Headers) -> dict[str, Any]:
    """Ada's tokens."""
    await make_user(http, operator, "ada")
    return await sign_in(http)


async def _revoke(http: AsyncClient, token: str, **more: str) -> str:
    return code(await http.post("/revoke", data={"token": token, "client_id": "watchword", **more}))


async def _entries(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(entries))).scalar_one())


async def test_an_access_token_dies_alone(http: AsyncClient, tokens: Any) -> None:
    """The session lives: a refresh gives the next token."""
    other = good(await refresh(http, tokens["refresh_token"]))
    assert await _revoke(http, tokens["access_token"], token_type_hint="access_token") == "ok"
    assert (await account(http, tokens), await account(http, other)) == ("token_revoked", "ok")


async def test_a_refresh_token_takes_its_session_with_it(http: AsyncClient, tokens: Any) -> None:
    """Its access tokens die too (RFC 7009 section 2.1), whatever the hint says."""
    assert await _revoke(http, tokens["refresh_token"], token_type_hint="access_token") == "ok"
    assert await account(http, tokens) == "session_ended"
    assert code(await refresh(http, tokens["refresh_token"])) == "invalid_grant"


async def test_what_is_no_token_of_the_client_changes_nothing(
    http: AsyncClient, authority: Authority, operator: Headers, tokens: Any
) -> None:
    """The answer is the same, and the log does not grow: nobody can fill it with made-up ids."""
    client, secret = await make_client(http, operator, "other")
    before = await _entries(authority)
    forged = tokens["access_token"][:-4] + "AAAA"
    for token in ("garbage", "a.b.c", forged, "é"):
        assert await _revoke(http, token) == "ok"
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert await _revoke(http, token, client_id=client, client_secret=secret or "") == "ok"
    assert await _entries(authority) == before
    assert await account(http, tokens) == "ok"


async def test_what_is_dead_already_makes_the_log_no_longer(
    http: AsyncClient, authority: Authority, tokens: Any
) -> None:
    """Revoked twice is revoked: nobody can make every guard read a log of repetitions."""
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert await _revoke(http, token) == "ok"
        entries = await _entries(authority)
        assert await _revoke(http, token) == "ok"
        assert await _entries(authority) == entries


async def test_a_token_from_before_the_limits_were_lowered_can_be_revoked(
    http: AsyncClient, authority: Authority, tokens: Any
) -> None:
    """Guards elsewhere may take it still: the longest lifetime in force and the largest leeway decide."""
    authority.settings = msgspec.structs.replace(authority.settings, max_lifetime=60, access_lifetime=60)
    assert await _revoke(http, tokens["access_token"]) == "ok"
    assert await account(http, tokens) == "token_revoked"


async def test_a_client_proves_itself_and_names_a_token(http: AsyncClient, tokens: Any) -> None:
    """RFC 7009 section 2.1."""
    assert await _revoke(http, tokens["access_token"], client_id="nobody") == "invalid_client"
    assert code(await http.post("/revoke", data={"client_id": "watchword"})) == "invalid_request"
