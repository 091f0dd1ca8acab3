"""Refresh tokens: the table of what each use means."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select, update
from tests.authority.helpers import Headers, account, code, good, make_client, make_user, refresh, sign_in

from watchword.authority.authority import Authority
from watchword.authority.schema import refresh_tokens, sessions
from watchword.authority.sessions.refresh import OUTCOMES, Outcome, RefreshToken, State, successor
from watchword.core.compact import read_unverified

pytestmark = pytest.mark.both_databases


@pytest.fixture
async def tokens(http: AsyncClient, operator: Headers) -> dict[str, Any]:
    """Ada's tokens of a fresh sign-in."""
    await make_user(http, operator, "ada", roles=["editor"])
    return await sign_in(http)


async def _older(authority: Authority, seconds: float) -> None:
    """Let all refresh tokens lie for so long."""
    async with authority.database.writing() as connection:
        spent, created = refresh_tokens.c.spent_at, refresh_tokens.c.created_at
        await connection.execute(update(refresh_tokens).values(spent_at=spent - seconds, created_at=created - seconds))


def test_every_state_has_an_outcome() -> None:
    """The table is complete, and only a followed token after its grace is a theft."""
    assert OUTCOMES.keys() == {(state, over) for state in State for over in (False, True)}
    assert [key for key, outcome in OUTCOMES.items() if outcome is Outcome.REUSE] == [(State.FOLLOWED, True)]


def test_the_grace_is_counted_from_when_the_token_was_spent() -> None:
    """At its very end it is over."""
    token = RefreshToken("h", "s", 0.0, 100.0, State.FOLLOWED)
    assert [token.outcome(now, 10.0) for now in (100.0, 109.9, 110.0)] == [
        Outcome.REPEAT,
        Outcome.REPEAT,
        Outcome.REUSE,
    ]


def test_a_successor_is_the_same_everywhere_and_no_other_key_finds_it() -> None:
    """Any replica gives the same answer; nobody without the secret can walk the chain."""
    assert successor("wwr_a", b"k" * 32) == successor("wwr_a", b"k" * 32)
    assert len({successor("wwr_a", b"k" * 32), successor("wwr_a", b"x" * 32), successor("wwr_b", b"k" * 32)}) == 3


async def test_each_use_gives_a_new_token_of_the_same_session(http: AsyncClient, tokens: Any) -> None:
    """The chain goes on; access tokens of before stay good until they expire."""
    first = good(await refresh(http, tokens["refresh_token"]))
    second = good(await refresh(http, first["refresh_token"]))
    assert len({tokens["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    sids = {read_unverified(each["access_token"])[1]["sid"] for each in (tokens, first, second)}
    assert len(sids) == 1
    assert await account(http, tokens) == "ok"


async def test_two_tabs_that_refresh_at_once_get_one_lineage(http: AsyncClient, tokens: Any) -> None:
    """Fifty refreshes of one token at the same moment: all get the same successor, and nobody is signed out."""
    answers = await asyncio.gather(*(refresh(http, tokens["refresh_token"]) for _ in range(50)))
    assert len({good(answer)["refresh_token"] for answer in answers}) == 1
    assert await account(http, answers[0].json()) == "ok"


async def test_a_lost_answer_can_be_asked_for_again(http: AsyncClient, authority: Authority, tokens: Any) -> None:
    """A spent token whose successor was never used is a retry, however late."""
    first = good(await refresh(http, tokens["refresh_token"]))
    await _older(authority, 3600)
    assert good(await refresh(http, tokens["refresh_token"]))["refresh_token"] == first["refresh_token"]


async def test_a_slow_tab_within_the_grace_catches_up(http: AsyncClient, tokens: Any) -> None:
    """The first tab has gone on; the second is led along the same chain."""
    first = good(await refresh(http, tokens["refresh_token"]))
    second = good(await refresh(http, first["refresh_token"]))
    late = good(await refresh(http, tokens["refresh_token"]))
    assert late["refresh_token"] == first["refresh_token"]
    assert good(await refresh(http, late["refresh_token"]))["refresh_token"] == second["refresh_token"]


async def test_reuse_ends_the_family_and_its_access_tokens(
    http: AsyncClient, authority: Authority, tokens: Any
) -> None:
    """After the grace a followed token is in two hands: nobody keeps anything, another session is not touched."""
    other = await sign_in(http)
    first = good(await refresh(http, tokens["refresh_token"]))
    second = good(await refresh(http, first["refresh_token"]))
    await _older(authority, 11)
    response = await refresh(http, tokens["refresh_token"])
    assert (code(response), response.json()["error"]) == ("refresh_reused", "invalid_grant")
    assert {await account(http, each) for each in (tokens, first, second)} == {"session_ended"}
    assert code(await refresh(http, second["refresh_token"])) == "invalid_grant"
    assert await account(http, other) == "ok"


async def test_a_refresh_may_name_another_audience_of_the_client(http: AsyncClient, operator: Headers) -> None:
    """One session, one token for each service; none for a service that the client may not name."""
    await make_user(http, operator, "ada")
    client = await make_client(http, operator, audiences=["orders", "billing"])
    tokens = await sign_in(http, client=client, audience="orders")
    form = {"grant_type": "refresh_token", "client_id": client[0], "client_secret": client[1]}
    wrong = await http.post("/token", data={**form, "refresh_token": tokens["refresh_token"], "audience": "mail"})
    assert code(wrong) == "invalid_target"
    asked = {**form, "refresh_token": tokens["refresh_token"], "audience": "billing"}
    refreshed = good(await http.post("/token", data=asked))
    assert read_unverified(refreshed["access_token"])[1]["aud"] == "billing"


async def test_a_mistaken_request_spends_nothing(http: AsyncClient, authority: Authority, tokens: Any) -> None:
    """A wrong audience or a scope too wide leaves the token as it was."""
    form = {"grant_type": "refresh_token", "client_id": "watchword", "refresh_token": tokens["refresh_token"]}
    assert code(await http.post("/token", data={**form, "audience": "nowhere"})) == "invalid_target"
    assert code(await http.post("/token", data={**form, "scope": "everything"})) == "invalid_scope"
    async with authority.database.reading() as connection:
        spent = select(func.count()).where(refresh_tokens.c.spent_at.is_not(None))
        assert (await connection.execute(spent)).scalar_one() == 0


async def test_another_clients_refresh_token_is_unknown(http: AsyncClient, operator: Headers, tokens: Any) -> None:
    """A token is bound to the client that it was given to; trying it costs its owner nothing."""
    other = await make_client(http, operator, "other")
    assert code(await refresh(http, tokens["refresh_token"], other)) == "invalid_grant"
    assert code(await refresh(http, tokens["refresh_token"])) == "ok"


@pytest.mark.parametrize(("table", "days"), [(refresh_tokens, 15), (sessions, 91)])
async def test_tokens_and_sessions_end_by_age(
    http: AsyncClient, authority: Authority, tokens: Any, table: Any, days: int
) -> None:
    """A refresh token that lay too long, and a session that lasted too long, are over."""
    async with authority.database.writing() as connection:
        await connection.execute(update(table).values(created_at=table.c.created_at - days * 86400))
    assert code(await refresh(http, tokens["refresh_token"])) == "invalid_grant"


async def test_new_roles_come_with_a_refresh(http: AsyncClient, operator: Headers) -> None:
    """A role change kills the token with a hint; the session lives and brings the new roles."""
    ada = await make_user(http, operator, "ada", roles=["editor"])
    tokens = await sign_in(http)
    good(await http.post("/admin/roles", json={"name": "architect"}, headers=operator))
    body = {"roles": ["architect"]}
    good(await http.put(f"/admin/users/{ada['id']}/roles", json=body, headers=operator))
    assert await account(http, tokens) == "roles_changed"
    refreshed = good(await refresh(http, tokens["refresh_token"]))
    assert await account(http, refreshed) == "ok"
    assert read_unverified(refreshed["access_token"])[1]["roles"] == ["architect"]


async def test_tokens_are_kept_as_hashes(authority: Authority, tokens: Any) -> None:
    """Whoever reads the database cannot use a session."""
    async with authority.database.reading() as connection:
        rows = str((await connection.execute(select(refresh_tokens))).all())
    assert tokens["refresh_token"] not in rows
    assert tokens["refresh_token"].removeprefix("wwr_") not in rows
