"""Keys that rotate and end by themselves: when it is time, once, and not before, on either database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import select
from tests.authority.helpers import ISSUER, account, age_keys, bearer, code, good, make_user, refresh, sign_in

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.housekeeping import FLOOR_MARGIN, Housekeeper, keep_house
from watchword.authority.keys import rotation, schedule
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.schedule import drop_expired, rotate_if_due
from watchword.authority.log.head import read_head
from watchword.authority.operator import operator_token
from watchword.authority.schema import audit, entries, keys
from watchword.authority.settings import Settings
from watchword.core.keys import Key

pytestmark = pytest.mark.both_databases

DAY = 86400.0
Open = Callable[[], Awaitable[Authority]]


@pytest.fixture
async def replica(settings: Settings) -> AsyncIterator[Open]:
    """Open one more replica on the test's database."""
    settings = msgspec.structs.replace(settings, rotate_days=30)
    opened: list[Authority] = []

    async def another() -> Authority:
        opened.append(await Authority.open(settings))
        return opened[-1]

    yield another
    for authority in opened:
        await authority.close()


async def _states(authority: Authority) -> list[tuple[str, str]]:
    async with authority.database.reading() as connection:
        rows = await connection.execute(select(keys.c.kid, keys.c.state).order_by(keys.c.kid))
        return [(kid, state) for kid, state in rows]


async def _done(authority: Authority, action: str) -> list[str]:
    async with authority.database.reading() as connection:
        lines = await connection.execute(select(audit.c.actor).where(audit.c.action == action))
        return list(lines.scalars())


async def test_the_next_key_signs_by_itself_after_so_many_days(replica: Open) -> None:
    """Not a day earlier; then again only after as many days more, though that key was made long ago."""
    authority = await replica()
    await age_keys(authority, 29 * DAY)
    assert not await rotate_if_due(authority)
    before = dict(await _states(authority))
    await age_keys(authority, DAY)
    assert await rotate_if_due(authority)
    after = dict(await _states(authority))
    assert {(before.get(kid), state) for kid, state in after.items()} == {
        ("current", "retiring"),
        ("next", "current"),
        (None, "next"),
    }
    await age_keys(authority, 29 * DAY)
    assert not await rotate_if_due(authority)
    await age_keys(authority, DAY)
    assert await rotate_if_due(authority)
    assert await _done(authority, "rotate_keys") == ["schedule", "schedule"]


async def test_two_replicas_rotate_once(replica: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find it due and have made a key before either of them rotates."""
    first, second = await replica(), await replica()
    await age_keys(first, 31 * DAY)
    ready = asyncio.Barrier(2)

    async def generate(keyring: Keyring) -> Key:
        await ready.wait()
        return Key.generate("ES256")

    monkeypatch.setattr(Keyring, "generate", generate)
    assert sorted(await asyncio.gather(rotate_if_due(first), rotate_if_due(second))) == [False, True]
    assert sorted(state for _, state in await _states(first)) == ["current", "next", "retiring"]
    assert await _done(first, "rotate_keys") == ["schedule"]


async def test_a_key_that_is_due_waits_until_the_next_one_may_sign(replica: Open) -> None:
    """The lead time holds for the schedule too."""
    authority = await replica()
    authority.settings = msgspec.structs.replace(authority.settings, rotate_days=1, jwks_cache_seconds=86400)
    await age_keys(authority, DAY)
    assert await rotate_if_due(authority)
    await age_keys(authority, DAY)
    assert not await rotate_if_due(authority)
    await age_keys(authority, 60)
    assert await rotate_if_due(authority)


async def test_no_days_are_no_schedule(replica: Open) -> None:
    """0: the operator rotates, or nobody does."""
    authority = await replica()
    authority.settings = msgspec.structs.replace(authority.settings, rotate_days=0)
    await age_keys(authority, 10_000 * DAY)
    assert not await rotate_if_due(authority)


async def test_the_housekeeper_keeps_the_schedule(replica: Open) -> None:
    """Whoever serves has one, and what is due is done when it begins."""
    authority = await replica()
    await age_keys(authority, 31 * DAY)
    housekeeper = Housekeeper(authority)
    async with asyncio.timeout(30):
        while not await _done(authority, "rotate_keys"):
            pass  # it asks the database each time
    await housekeeper.stop()


async def test_a_retired_key_goes_once_all_that_it_signed_has_expired(replica: Open) -> None:
    """Not before; then no guard lists it, in one entry of the log, and its name is taken for ever."""
    authority = await replica()
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
        await make_user(http, bearer(await operator_token(authority)))
        tokens = await sign_in(http)
        await age_keys(authority, 31 * DAY)
        assert await rotate_if_due(authority)
        ((retired, _),) = [each for each in await _states(authority) if each[1] == "retiring"]
        await age_keys(authority, authority.settings.max_lifetime + FLOOR_MARGIN - 5)
        assert await drop_expired(authority, FLOOR_MARGIN) == 0
        assert await account(http, tokens) == "ok"
        await age_keys(authority, 5)
        before = await _number(authority)
        assert await drop_expired(authority, FLOOR_MARGIN) == 1
        assert await _number(authority) == before + 1
        assert dict(await _states(authority))[retired] == "withdrawn"
        known = authority.source.known
        assert known is not None
        assert retired not in {key.kid for key in known.knowledge.keys}
        assert retired in known.knowledge.keys.withdrawn
        assert len(good(await http.get("/.well-known/jwks.json"))["keys"]) == 2
        assert await account(http, good(await refresh(http, tokens["refresh_token"]))) == "ok"
        again = bearer(await operator_token(authority))
        assert code(await http.post(f"/admin/keys/{retired}/withdraw", headers=again)) == "conflict"
    async with authority.database.reading() as connection:
        reasons = await connection.execute(select(entries.c.reason).order_by(entries.c.position.desc()).limit(1))
        assert reasons.scalar_one() == "keys_dropped"
    assert await _done(authority, "drop_key") == ["schedule"]


async def test_two_replicas_drop_once(replica: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find it due before either of them drops it."""
    first, second = await replica(), await replica()
    await age_keys(first, 31 * DAY)
    assert await rotate_if_due(first)
    await age_keys(first, DAY)
    found, ready, look = 0, asyncio.Barrier(2), rotation.expired

    async def both_first(*arguments: object) -> object:
        nonlocal found
        found += 1
        gone = await look(*arguments)  # type: ignore[arg-type]
        if found <= 2:
            await ready.wait()
        return gone

    monkeypatch.setattr(schedule, "expired", both_first)
    dropped = await asyncio.gather(drop_expired(first, FLOOR_MARGIN), drop_expired(second, FLOOR_MARGIN))
    assert sorted(dropped) == [0, 1]
    assert await _done(first, "drop_key") == ["schedule"]


async def test_the_house_is_kept_at_every_replica(replica: Open) -> None:
    """All that is due is done, whoever does it, side by side."""
    first, second = await replica(), await replica()
    await age_keys(first, 31 * DAY)
    await asyncio.gather(keep_house(first), keep_house(second))
    await age_keys(first, DAY)
    await asyncio.gather(keep_house(first), keep_house(second))
    assert sorted(state for _, state in await _states(first)) == ["current", "next", "withdrawn"]


async def _number(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return (await read_head(connection)).number
