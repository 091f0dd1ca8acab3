"""Receipts: who follows, how far each has come, and who has confirmed a change."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import update
from tests.authority.helpers import ISSUER, Headers, Json, code, good, make_client

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.database import Now
from watchword.authority.log.cut import cut_token
from watchword.authority.log.followers import FORGET_SECONDS, forget_silent
from watchword.authority.schema import followers
from watchword.authority.settings import Settings
from watchword.core.feed import Page


@pytest.fixture
async def guard(http: AsyncClient, operator: Headers) -> Headers:
    """The credentials of a client that may follow the feed."""
    identifier, secret = await make_client(http, operator, "orders", grants=["feed"])
    return {"Authorization": "Basic " + base64.b64encode(f"{identifier}:{secret}".encode()).decode()}


async def _ask(http: AsyncClient, guard: Headers, name: str, cursor: str = "", **query: Any) -> Page:
    params: dict[str, Any] = {"nonce": "n", "guard": name, "after": cursor, "stale": 30} | query
    return Page.decode((await http.get("/revocations", params=params, headers=guard)).content)


async def _revoke(http: AsyncClient, operator: Headers, jti: str = "t") -> str:
    body = {"scope": "token", "id": jti}
    position: str = good(await http.post("/admin/revocations", json=body, headers=operator))["position"]
    return position


async def _receipts(http: AsyncClient, operator: Headers, position: str) -> Json:
    told: Json = good(await http.get("/admin/receipts", params={"position": position}, headers=operator))
    return told


async def _grow_silent(authority: Authority, name: str, seconds: float) -> None:
    async with authority.database.writing() as connection:
        past = update(followers).where(followers.c.name == name).values(seen_at=Now() - seconds)
        await connection.execute(past)


async def test_a_cursor_that_comes_back_is_a_receipt(http: AsyncClient, operator: Headers, guard: Headers) -> None:
    """Having been sent a page is none; asking for what comes after it is, and tells how long it took."""
    first = await _ask(http, guard, "a")
    await _ask(http, guard, "a", first.cursor)
    position = await _revoke(http, operator)
    second = await _ask(http, guard, "a", first.cursor)
    waiting = await _receipts(http, operator, position)
    assert (waiting["done"], waiting["confirmed"], waiting["total"]) == (False, 0, 1)
    assert waiting["guards"][0]["state"] == "waiting"
    await _ask(http, guard, "a", second.cursor)
    done = await _receipts(http, operator, position)
    assert (done["done"], done["confirmed"], done["total"]) == (True, 1, 1)
    assert done["milliseconds"] == done["guards"][0]["milliseconds"] >= 0


async def test_all_must_confirm(http: AsyncClient, operator: Headers, guard: Headers) -> None:
    """One that lags keeps a change from being done, and is named."""
    cursor = (await _ask(http, guard, "a")).cursor
    await _ask(http, guard, "a", cursor)
    await _ask(http, guard, "b", cursor)
    position = await _revoke(http, operator)
    await _ask(http, guard, "a", (await _ask(http, guard, "a", cursor)).cursor)
    told = await _receipts(http, operator, position)
    assert {each["guard"]: each["state"] for each in told["guards"]} == {"a": "confirmed", "b": "waiting"}
    assert not told["done"]


async def test_a_guard_that_is_silent_for_too_long_is_closed(
    http: AsyncClient, operator: Headers, guard: Headers, authority: Authority
) -> None:
    """Its own bound has made it refuse, so nobody waits for it; one that was closed before does not even count."""
    for name in ("a", "b"):
        await _ask(http, guard, name, (await _ask(http, guard, name)).cursor)
    await authority.followers.write()
    await _grow_silent(authority, "b", 1000)
    position = await _revoke(http, operator)
    await _grow_silent(authority, "a", 0.5)
    told = await _receipts(http, operator, position)
    assert [(each["guard"], each["state"]) for each in told["guards"]] == [("a", "waiting")]
    await _grow_silent(authority, "a", 39)
    async with authority.database.writing() as connection:
        await connection.execute(update(followers).values(stale=0.0))
    await _revoke(http, operator, "u")
    listed = good(await http.get("/admin/guards", headers=operator))["items"]
    assert [(each["guard"], each["silent"], each["behind"]) for each in listed] == [("a", True, 2), ("b", True, 2)]


async def test_only_proven_guards_that_name_themselves_count(authority: Authority, settings: Settings) -> None:
    """Where the feed is open, a stranger cannot make an operator wait for ghosts."""
    authority.followers.hear("orders", "a", address="192.0.2.1", stale=30, after=None)
    await authority.followers.write()
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
        assert code(await http.get("/revocations", params={"guard": "ghost"})) == "invalid_client"
    assert [name for _, name in authority.followers._heard] == ["a"]


async def test_a_position_that_is_not_in_the_log_has_no_receipts(http: AsyncClient, operator: Headers) -> None:
    """Neither one that is no position, nor one of another epoch, nor one that was never reached."""
    position = await _revoke(http, operator)
    epoch, _, number = position.partition(".")
    for text, status in (("x", 422), (f"other.{number}", 404), (f"{epoch}.{int(number) + 1}", 404)):
        response = await http.get("/admin/receipts", params={"position": text}, headers=operator)
        assert response.status_code == status, response.text


@pytest.fixture
async def elsewhere(authority: Authority) -> AsyncIterator[Authority]:
    """Another replica on the same database."""
    other = await Authority.open(authority.settings)
    yield other
    await other.close()


async def test_receipts_are_known_at_every_replica(
    http: AsyncClient, operator: Headers, guard: Headers, authority: Authority, elsewhere: Authority
) -> None:
    """A guard confirms at one of them, and an operator asks another."""
    page = await _ask(http, guard, "a")
    await _ask(http, guard, "a", page.cursor)
    await authority.followers.write()
    position = await _revoke(http, operator)
    async with AsyncClient(transport=ASGITransport(build_app(elsewhere)), base_url=ISSUER) as there:
        assert not (await _receipts(there, operator, position))["done"]
        page = await _ask(there, guard, "a", page.cursor)
        await _ask(there, guard, "a", page.cursor)
    await elsewhere.followers.write()
    assert (await _receipts(http, operator, position))["done"]
    await authority.followers.write()  # what it heard earlier must not undo what was heard since
    assert (await _receipts(http, operator, position))["done"]


async def test_what_has_been_silent_for_long_is_forgotten(authority: Authority) -> None:
    """In memory and in the table."""
    authority.followers.hear("orders", "a", address="192.0.2.1", stale=1, after=None)
    await authority.followers.write()
    await _grow_silent(authority, "a", FORGET_SECONDS + 2)
    async with authority.database.writing() as connection:
        await forget_silent(connection)
        rows = (await connection.execute(followers.select())).all()
    assert rows == []


async def test_a_change_is_told_to_all_who_are_held_from_one_read(
    authority: Authority, http: AsyncClient, guard: Headers
) -> None:
    """Fifty held answers at one place are one page and one encoding."""
    cursor = (await _ask(http, guard, "a")).cursor
    after = authority.reader.cursor(cursor)
    await authority.reader.read(after)
    held = [asyncio.ensure_future(authority.held.page(after, 20)) for _ in range(50)]
    await asyncio.sleep(0)
    async with authority.changing() as connection:
        await cut_token(connection, "t")
    reads = await asyncio.gather(*held)
    assert len({id(read) for read in reads}) == 1
    assert reads[0].news


async def test_a_mistake_of_ours_leaves_no_held_answer_hanging(
    authority: Authority, http: AsyncClient, guard: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a read raises, those who wait for it have it, and none waits for ever."""
    after = authority.reader.cursor((await _ask(http, guard, "a")).cursor)
    await authority.reader.read(after)
    held = [asyncio.ensure_future(authority.held.page(after, 20)) for _ in range(3)]
    await asyncio.sleep(0)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("watchword.authority.log.reader.LogReader.read", broken)
        authority.reader.wake()
        answers = await asyncio.wait_for(asyncio.gather(*held, return_exceptions=True), 10)
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 3
