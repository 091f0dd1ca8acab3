"""Recovery from lost history: everything older is void, and everything newer works."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from sqlalchemy import update
from tests.authority.helpers import Headers, account, bearer, code, good, make_user, refresh, sign_in

from watchword.authority.authority import Authority
from watchword.authority.log.head import Head, read_head
from watchword.authority.log.lost import Lost, Moved, sound_alarm
from watchword.authority.operator import operator_token
from watchword.authority.recover import keep_history, recover
from watchword.authority.schema import head
from watchword.authority.settings import Settings
from watchword.core.feed import Page
from watchword.errors import HistoryLost

pytestmark = pytest.mark.both_databases


async def _head(authority: Authority) -> Head:
    async with authority.database.reading() as connection:
        return await read_head(connection)


@pytest.mark.parametrize("clone", [False, True])
async def test_all_that_was_is_void(http: AsyncClient, operator: Headers, authority: Authority, clone: bool) -> None:
    """Old tokens and sessions are dead, a new sign-in works at once; only a clone becomes another instance."""
    await make_user(http, operator)
    old, before = await sign_in(http), await _head(authority)
    position, _ = await recover(authority, clone=clone)
    after = await _head(authority)
    assert position == after.position
    assert position.epoch != before.epoch
    assert position.number > before.number
    assert (after.instance != before.instance) is clone
    assert await account(http, old) == "key_withdrawn"
    assert (await refresh(http, old["refresh_token"])).json()["error"] == "invalid_grant"
    assert await account(http, await sign_in(http)) == "ok"
    fresh = bearer(await operator_token(authority))
    assert len(good(await http.get("/admin/sessions", headers=fresh))["items"]) == 1
    assert good(await http.get("/admin/revocations", headers=fresh))["items"] == []


async def test_the_keys_are_others(http: AsyncClient, operator: Headers, authority: Authority) -> None:
    """What was lost may have been a key's withdrawal: nothing that could sign before is trusted after."""
    before = {key["kid"] for key in good(await http.get("/.well-known/jwks.json"))["keys"]}
    await recover(authority)
    after = {key["kid"] for key in good(await http.get("/.well-known/jwks.json"))["keys"]}
    assert (len(after), before & after) == (2, set())
    assert code(await http.get("/admin/keys", headers=operator)) == "key_withdrawn"


async def test_the_alarm_is_over(http: AsyncClient, authority: Authority) -> None:
    """The feed is closed while the alarm stands, and open again after recovery; the log tells of it."""
    async with authority.changing() as connection:
        await sound_alarm(
            connection, Lost((await read_head(connection)).epoch, "a guard has seen 9, the log ends at 3")
        )
    assert code(await http.get("/readyz")) == "history_lost"
    epoch = (await _head(authority)).epoch
    position, _ = await recover(authority)
    assert code(await http.get("/readyz")) == "ok"
    fresh = bearer(await operator_token(authority))
    line = good(await http.get("/admin/audit?action=recover", headers=fresh))["items"][0]
    assert (line["actor"], line["target"]) == ("operator", position.epoch)
    assert epoch in line["detail"]


async def _move(authority: Authority) -> str:
    """Let the log have been written on another server; where that is found, the alarm. Gives the epoch."""
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(identity="another/00000001"))
    with pytest.raises(HistoryLost, match="the database was on another/00000001"):
        await authority.reader.read(None)
    return (await _head(authority)).epoch


async def test_a_move_without_a_loss_takes_nothing_from_anybody(
    http: AsyncClient, operator: Headers, authority: Authority
) -> None:
    """The same epoch, keys and tokens as before, with the new server's identity; the audit log names both servers."""
    await make_user(http, operator)
    tokens, epoch = await sign_in(http), await _move(authority)
    assert code(await http.get("/readyz")) == "history_lost"
    assert (await keep_history(authority)).epoch == epoch
    assert code(await http.get("/readyz")) == "ok"
    assert (await authority.reader.read(None)).page.epoch == epoch
    assert await account(http, tokens) == "ok"
    assert await account(http, good(await refresh(http, tokens["refresh_token"]))) == "ok"
    line = good(await http.get("/admin/audit?action=recover", headers=operator))["items"][0]
    assert (line["actor"], "another/00000001" in line["detail"]) == ("operator", True)


async def test_a_loss_that_was_proven_is_no_move(http: AsyncClient, authority: Authority) -> None:
    """Refused, and the feed stays closed: whatever the operator says, a guard has seen more."""
    async with authority.changing() as connection:
        await sound_alarm(
            connection, Lost((await read_head(connection)).epoch, "a guard has seen 9, the log ends at 3")
        )
    with pytest.raises(HistoryLost, match="a guard has seen 9"):
        await keep_history(authority)
    assert code(await http.get("/readyz")) == "history_lost"


async def test_two_moves_without_a_loss_take_nothing_either(http: AsyncClient, authority: Authority) -> None:
    """The database moves on before anybody has done anything about the first alarm."""
    epoch = await _move(authority)
    async with authority.database.writing() as connection:
        told = "the database was on another/00000001 and is on a third/00000001 now"
        await connection.execute(update(head).values(alarm=told))
    assert (await keep_history(authority)).epoch == epoch
    assert code(await http.get("/readyz")) == "ok"


async def test_a_loss_that_is_proven_after_a_move_is_no_move(authority: Authority) -> None:
    """The alarm stands for the server's sake, and then a guard shows an epoch that this one has never had."""
    seen = authority.reader.cursor((await authority.reader.read(None)).page.cursor)
    assert seen is not None
    await _move(authority)
    with pytest.raises(HistoryLost):
        await authority.reader.read(seen._replace(epoch="lost", born=seen.born + 1e6))
    with pytest.raises(HistoryLost, match="a later epoch"):
        await keep_history(authority)


async def test_a_move_that_lost_something_after_all_is_found(http: AsyncClient, authority: Authority) -> None:
    """The next guard that has seen more closes the feed again."""
    seen = authority.reader.cursor((await authority.reader.read(None)).page.cursor)
    assert seen is not None
    await _move(authority)
    await keep_history(authority)
    with pytest.raises(HistoryLost, match="a guard has seen 1"):
        await authority.reader.read(seen._replace(number=1, mark="lost"))
    assert code(await http.get("/readyz")) == "history_lost"


async def test_an_alarm_that_comes_late_rings_for_nothing(http: AsyncClient, authority: Authority) -> None:
    """Who found history lost before the recovery, and says so after it, closes nothing."""
    epoch = (await _head(authority)).epoch
    await recover(authority)
    async with authority.changing() as connection:
        assert not await sound_alarm(connection, Lost(epoch, "late"))
    assert code(await http.get("/readyz")) == "ok"


async def test_an_alarm_for_a_move_that_was_answered_rings_for_nothing(
    http: AsyncClient, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that found the other server before the operator said that nothing was lost goes on as they said."""
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(identity="another/00000001"))
    found = Moved(await _head(authority))

    async def slow(*asked: Any) -> tuple[Head, Page]:
        monkeypatch.undo()
        await keep_history(authority)
        raise found

    monkeypatch.setattr("watchword.authority.log.reader.read_page", slow)
    assert (await authority.reader.read(None)).page.epoch == found.epoch
    assert code(await http.get("/readyz")) == "ok"
    assert not authority.reader.alarmed.is_set()


async def test_another_process_that_serves_goes_on(authority: Authority, http: AsyncClient, settings: Settings) -> None:
    """A command line recovers while the server runs: the server signs and judges in the new epoch."""
    elsewhere = await Authority.open(settings)
    try:
        position, _ = await recover(elsewhere)
    finally:
        await elsewhere.close()
    await authority.source.catch_up()
    token = await operator_token(authority)
    assert good(await http.get("/admin/status", headers=bearer(token)))["position"] == str(position)
