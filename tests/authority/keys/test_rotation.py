"""The signing keys' states: whatever is done to them, one signs, one is next, and the withdrawn stay so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import insert, select
from tests.authority.helpers import (
    ISSUER,
    Headers,
    Json,
    account,
    age_keys,
    bearer,
    code,
    good,
    make_user,
    refresh,
    sign_in,
)

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.keys.keyring import published_jwks
from watchword.authority.log.head import read_head
from watchword.authority.operator import operator_token
from watchword.authority.schema import entries, followers, keys
from watchword.authority.settings import Settings
from watchword.core.compact import read_unverified
from watchword.core.feed import KEYS
from watchword.errors import Unavailable

pytestmark = pytest.mark.both_databases


async def _states(authority: Authority) -> dict[str, str]:
    async with authority.database.reading() as connection:
        rows = (await connection.execute(select(keys.c.kid, keys.c.state).order_by(keys.c.kid))).all()
    return {row.kid: row.state for row in rows}


async def _only(authority: Authority, state: str) -> str:
    (kid,) = [kid for kid, its in (await _states(authority)).items() if its == state]
    return kid


async def _number(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return (await read_head(connection)).number


async def test_the_list_tells_names_and_states(http: AsyncClient, operator: Headers) -> None:
    """Two keys after the first start; nothing of the keys themselves."""
    listed = good(await http.get("/admin/keys", headers=operator))["items"]
    assert {key["state"] for key in listed} == {"current", "next"}
    assert {*listed[0]} == {"kid", "algorithm", "state", "created_at", "changed_at"}


async def test_a_rotation_goes_on_with_the_published_key(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """next signs, current verifies on without its private part, and a fresh next is published."""
    await make_user(http, operator)
    old = await sign_in(http)
    current, following = await _only(authority, "current"), await _only(authority, "next")
    answer = good(await http.post("/admin/keys/rotate", headers=operator))
    states = {key["kid"]: key["state"] for key in answer["items"]}
    assert (states[current], states[following], len(states)) == ("retiring", "current", 3)
    assert await account(http, old) == "ok"
    assert read_unverified((await sign_in(http))["access_token"])[0]["kid"] == following
    async with authority.database.reading() as connection:
        wrapped = (await connection.execute(select(keys.c.wrapped).where(keys.c.kid == current))).scalar_one()
        assert wrapped is None
        assert len((await published_jwks(connection))["keys"]) == 3


@pytest.mark.parametrize("state", ["current", "next", "retiring"])
async def test_a_withdrawn_keys_tokens_die_and_others_live(
    http: AsyncClient, operator: Headers, authority: Authority, state: str
) -> None:
    """Whatever the key's state: its tokens die, others' live, sessions go on."""
    await make_user(http, operator)
    first = await sign_in(http)
    good(await http.post("/admin/keys/rotate", headers=operator))
    second = await sign_in(http)
    fresh = bearer(await operator_token(authority))
    kid = await _only(authority, state)
    good(await http.post(f"/admin/keys/{kid}/withdraw", headers=fresh))
    dead = {"current": second, "retiring": first, "next": None}[state]
    for tokens in (first, second):
        assert await account(http, tokens) == ("key_withdrawn" if tokens is dead else "ok")
    assert await account(http, good(await refresh(http, first["refresh_token"]))) == "ok"
    jwks = good(await http.get("/.well-known/jwks.json"))["keys"]
    assert kid not in {key["kid"] for key in jwks}
    again = bearer(await operator_token(authority))
    assert code(await http.post(f"/admin/keys/{kid}/withdraw", headers=again)) == "conflict"


def _follower(name: str, stale: float) -> dict[str, object]:
    place = {"epoch": "e", "number": 0, "confirmed_at": 0.0, "seen_at": 0.0}
    return {"client": "orders", "name": name, "address": "", "stale": stale, **place}


@pytest.mark.parametrize(
    ("cache", "stale", "lead"), [(0, [], 30), (0, [5.0], 30), (0, [60.0, 90.0, 5.0], 90), (300, [90.0], 300)]
)
async def test_the_next_key_signs_only_once_everybody_must_know_it(
    http: AsyncClient, operator: Headers, authority: Authority, cache: int, stale: list[float], lead: int
) -> None:
    """Once the most patient guard is either current or closed, and no copy of the JWK Set is that old; 10 s more."""
    authority.settings = msgspec.structs.replace(authority.settings, jwks_cache_seconds=cache)
    async with authority.database.writing() as connection:
        for number, seconds in enumerate(stale):
            await connection.execute(insert(followers).values(**_follower(f"guard-{number}", seconds)))
    good(await http.post("/admin/keys/rotate", headers=operator))
    before = await _states(authority)
    refusal = await http.post("/admin/keys/rotate", headers=operator)
    assert (refusal.status_code, code(refusal)) == (409, "key_too_new")
    left = refusal.json()["wait_seconds"]
    assert refusal.headers["retry-after"] == str(left)
    assert lead + 9 <= left <= lead + 10
    await age_keys(authority, lead + 5)
    assert code(await http.post("/admin/keys/rotate", headers=operator)) == "key_too_new"
    assert await _states(authority) == before
    await age_keys(authority, 5)
    assert code(await http.post("/admin/keys/rotate", headers=operator)) == "ok"


async def test_an_emergency_waits_for_nothing(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """A withdrawn current key is followed by the next one, however new that is."""
    good(await http.post("/admin/keys/rotate", headers=operator))
    following = await _only(authority, "next")
    kid = await _only(authority, "current")
    good(await http.post(f"/admin/keys/{kid}/withdraw", headers=bearer(await operator_token(authority))))
    assert await _only(authority, "current") == following


async def test_a_pair_that_was_published_together_may_follow_at_once(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """Whoever knows the one knows the other: after the first start and after the withdrawal of all."""
    good(await http.post("/admin/keys/rotate", headers=operator))
    assert code(await http.post("/admin/keys/rotate", headers=operator)) == "key_too_new"
    good(await http.post("/admin/keys/withdraw-all", headers=operator))
    assert code(await http.post("/admin/keys/rotate", headers=bearer(await operator_token(authority)))) == "ok"


@pytest.mark.parametrize(("seconds", "kept"), [(300, "public, max-age=300"), (0, "no-store")])
async def test_the_jwk_set_may_be_kept_as_long_as_a_key_is_published_before_it_signs(
    http: AsyncClient, authority: Authority, seconds: int, kept: str
) -> None:
    """And no longer; 0 for not at all."""
    authority.settings = msgspec.structs.replace(authority.settings, jwks_cache_seconds=seconds)
    assert (await http.get("/.well-known/jwks.json")).headers["cache-control"] == kept


async def test_withdraw_all_leaves_only_new_keys(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """Every token dies, the administrator's own too; sessions live, and a refresh is signed with the new key."""
    await make_user(http, operator)
    old, before = await sign_in(http), await _states(authority)
    good(await http.post("/admin/keys/withdraw-all", headers=operator))
    after = await _states(authority)
    assert {after[kid] for kid in before} == {"withdrawn"}
    assert sorted(after[kid] for kid in after.keys() - before.keys()) == ["current", "next"]
    assert await account(http, old) == "key_withdrawn"
    assert code(await http.get("/admin/keys", headers=operator)) == "key_withdrawn"
    assert await account(http, good(await refresh(http, old["refresh_token"]))) == "ok"


async def test_a_key_that_is_not_there_is_not_found(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """404, and the log has not moved."""
    before = await _number(authority)
    assert code(await http.post("/admin/keys/nothing/withdraw", headers=operator)) == "not_found"
    assert await _number(authority) == before


async def test_a_withdrawn_name_cannot_be_added_again(
    authority: Authority, http: AsyncClient, operator: Headers
) -> None:
    """The row of a withdrawn key stays for ever and keeps its place."""
    kid = await _only(authority, "current")
    good(await http.post(f"/admin/keys/{kid}/withdraw", headers=operator))
    row = {"kid": kid, "algorithm": "ES256", "state": "retiring", "jwk": "{}", "created_at": 0.0, "changed_at": 0.0}
    with pytest.raises(Unavailable):
        async with authority.database.writing() as connection:
            await connection.execute(insert(keys).values(**row))
    assert (await _states(authority))[kid] == "withdrawn"


STEPS = st.lists(
    st.one_of(st.just(("rotate", 0)), st.just(("withdraw-all", 0)), st.tuples(st.just("withdraw"), st.integers(0, 5))),
    min_size=1,
    max_size=8,
)


@examples(max_examples=25)
@given(STEPS)
def test_any_sequence_keeps_the_invariants(steps: list[tuple[str, int]]) -> None:
    """One current, one next, no resurrection, no private part beyond those two, and one entry for each change."""
    anyio.run(_check_sequence, steps)


async def _check_sequence(steps: list[tuple[str, int]]) -> None:
    async with _fresh() as (authority, http):
        for verb, which in steps:
            before, number = await _states(authority), await _number(authority)
            kid = list(before)[which % len(before)]
            await age_keys(authority, 3600)
            path = f"/admin/keys/{kid}/withdraw" if verb == "withdraw" else f"/admin/keys/{verb}"
            answer = code(await http.post(path, headers=bearer(await operator_token(authority))))
            done = verb != "withdraw" or before[kid] != "withdrawn"
            assert answer == ("ok" if done else "conflict")
            await _check(authority, before, number + done, verb, kid)


async def _check(authority: Authority, before: dict[str, str], number: int, verb: str, kid: str) -> None:
    after = await _states(authority)
    assert sorted(state for state in after.values() if state in ("current", "next")) == ["current", "next"]
    assert all(after[name] == "withdrawn" for name, state in before.items() if state == "withdrawn")
    if verb == "withdraw":
        assert after[kid] == "withdrawn"
    async with authority.database.reading() as connection:
        assert (await read_head(connection)).number == number
        scopes = (await connection.execute(select(entries.c.scope))).scalars().all()
        assert scopes == [KEYS] * number
        private = (await connection.execute(select(keys.c.kid).where(keys.c.wrapped.is_not(None)))).scalars()
        assert {after[name] for name in private} == {"current", "next"}
    known = authority.source.known
    assert known is not None
    assert {key.kid for key in known.knowledge.keys} == {kid for kid, its in after.items() if its != "withdrawn"}
    assert known.knowledge.keys.withdrawn == {kid for kid, its in after.items() if its == "withdrawn"}


@asynccontextmanager
async def _fresh() -> AsyncIterator[tuple[Authority, AsyncClient]]:
    with TemporaryDirectory() as folder:
        made = Settings(issuer=ISSUER, algorithm="ES256", password_memory_kib=8, password_rounds=1)
        settings = msgspec.structs.replace(made, database=f"sqlite:///{Path(folder) / 'watchword.db'}")
        authority = await Authority.open(settings)
        try:
            async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
                yield authority, http
        finally:
            await authority.close()


async def test_each_change_has_its_line(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """Rotation and withdrawal are in the audit log, with the key's name."""
    kid = await _only(authority, "next")
    good(await http.post("/admin/keys/rotate", headers=operator))
    good(await http.post(f"/admin/keys/{kid}/withdraw", headers=operator))
    lines: list[Json] = good(await http.get("/admin/audit?limit=2", headers=operator))["items"]
    assert [(line["action"], line["actor"]) for line in lines] == [
        ("withdraw_key", "operator"),
        ("rotate_keys", "operator"),
    ]
    assert lines[0]["target"] == kid
