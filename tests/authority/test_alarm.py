"""A serving process answers an alarm at once: it tells of it, and recovers by itself where it shall."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from tests.authority.helpers import code

from watchword.authority.alarm import AlarmWatch
from watchword.authority.authority import Authority
from watchword.authority.keys.keyring import Keyring
from watchword.authority.log.head import Head, read_head
from watchword.authority.log.lost import Lost, sound_alarm
from watchword.authority.recover import recover, recover_by_itself
from watchword.authority.schema import audit
from watchword.authority.settings import Settings
from watchword.core.keys import Key

pytestmark = pytest.mark.both_databases

WHY = "a guard has seen 9, the log ends at 3"


async def _head(authority: Authority) -> Head:
    async with authority.database.reading() as connection:
        return await read_head(connection)


async def _sound(authority: Authority) -> str:
    """Find history lost; the epoch that is over by it."""
    epoch = (await _head(authority)).epoch
    async with authority.database.writing() as connection:
        await sound_alarm(connection, Lost(epoch, WHY))
    return epoch


async def _recoveries(authority: Authority) -> list[str]:
    async with authority.database.reading() as connection:
        lines = await connection.execute(select(audit.c.actor).where(audit.c.action == "recover"))
        return list(lines.scalars())


@asynccontextmanager
async def _watched(authority: Authority) -> AsyncIterator[None]:
    watch = AlarmWatch(authority)
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        await watch.stop()


@pytest.mark.parametrize("sounded", ["before", "meanwhile"])
async def test_it_recovers_by_itself_where_it_shall(
    authority: Authority, http: AsyncClient, caplog: pytest.LogCaptureFixture, sounded: str
) -> None:
    """Whether the alarm stood at the start or is sounded by another replica later; the log warns."""
    authority.settings = msgspec.structs.replace(authority.settings, auto_recover=True)
    if sounded == "before":
        await _sound(authority)
    async with _watched(authority):
        if sounded == "meanwhile":
            await _sound(authority)
        while not await _recoveries(authority):
            pass  # it asks the database each time
    assert code(await http.get("/readyz")) == "ok"
    assert await _recoveries(authority) == ["auto_recover"]
    assert [record.levelno for record in caplog.records if WHY in record.message] == [logging.WARNING]


async def test_else_it_only_tells(authority: Authority, http: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    """Once for each alarm, and what to do; the feed stays closed."""
    async with _watched(authority):
        for number in (1, 2):
            await _sound(authority)
            while len([record for record in caplog.records if WHY in record.message]) < number:
                await _head(authority)
            assert code(await http.get("/readyz")) == "history_lost"
            await recover(authority)
    told = [record for record in caplog.records if WHY in record.message]
    assert {record.levelno for record in told} == {logging.ERROR}
    assert all("watchword recover" in record.message for record in told)
    assert await _recoveries(authority) == ["operator", "operator"]


async def test_of_two_replicas_one_recovers(
    authority: Authority, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found the alarm and made keys before either of them recovers: one new epoch, once."""
    epoch, other = await _sound(authority), await Authority.open(settings)
    ready, waiting = asyncio.Barrier(2), set[Keyring]()

    async def generate(keyring: Keyring) -> Key:
        if keyring not in waiting:
            waiting.add(keyring)
            await ready.wait()
        return Key.generate("ES256")

    monkeypatch.setattr(Keyring, "generate", generate)
    try:
        async with asyncio.timeout(30):
            began = await asyncio.gather(recover_by_itself(authority), recover_by_itself(other))
    finally:
        await other.close()
    ((position, _),) = [each for each in began if each is not None]
    assert position.epoch == (await _head(authority)).epoch != epoch
    assert await _recoveries(authority) == ["auto_recover"]


async def test_without_an_alarm_nothing_begins(authority: Authority) -> None:
    """The setting says what follows an alarm, not that history is thrown away."""
    before = await _head(authority)
    assert await recover_by_itself(authority) is None
    assert (await _head(authority)).position == before.position
