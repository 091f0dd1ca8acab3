"""Copies and backups of a database: what is found, and what a guard that knows the original makes of them."""

import itertools
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient
from tests.authority.helpers import ISSUER, account, bearer, code, make_user, refresh, sign_in

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.database import clock
from watchword.authority.log.cut import cut_token
from watchword.authority.log.foreign import append_foreign, latest_second
from watchword.authority.log.head import Head, read_head
from watchword.authority.operator import operator_token
from watchword.authority.recover import recover
from watchword.authority.settings import Settings
from watchword.core.cutoffs import Scope
from watchword.core.feed import FeedError, Knowledge
from watchword.core.foreign import ForeignCutoff
from watchword.guard.learner import Learner
from watchword.transport import TransportError

ELSEWHERE = "https://id.example"
Restore = Callable[..., Awaitable[Authority]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Anybody may follow: who follows does not matter here."""
    return msgspec.structs.replace(settings, open_feed=True)


@pytest.fixture
def backup(authority: Authority, settings: Settings, tmp_path: Path) -> Path:
    """The database as it was after the first start."""
    target = tmp_path / "backup.db"
    with closing(sqlite3.connect(settings.database.removeprefix("sqlite:///"))) as connection:
        connection.execute("VACUUM INTO ?", [str(target)])
    return target


@pytest.fixture
async def restored(settings: Settings, tmp_path: Path) -> AsyncIterator[Restore]:
    """Open a copy of a backup, in a place of its own."""
    numbers = itertools.count(1)
    async with AsyncExitStack() as opened:

        async def restore(backup: Path, issuer: str = ISSUER) -> Authority:
            here, secret = tmp_path / f"restored-{next(numbers)}.db", str(settings.secret_path)
            shutil.copy(backup, here)
            place = msgspec.structs.replace(settings, issuer=issuer, database=f"sqlite:///{here}", secret_file=secret)
            again = await Authority.open(place, may_rename=True)
            opened.push_async_callback(again.close)
            return again

        yield restore


def _http(authority: Authority) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER)


async def _head(authority: Authority) -> Head:
    async with authority.database.reading() as connection:
        return await read_head(connection)


async def _cut(authority: Authority) -> None:
    async with authority.changing() as connection:
        await cut_token(connection, "t")


async def _learn(guard: Learner, authority: Authority) -> Knowledge:
    """Let a guard ask an authority once; what it knows then."""
    question = guard.question()
    async with _http(authority) as http:
        answer = await http.get("/revocations", params=question.query | {"hold": "0"})
    guard.learn(question, answer.status_code, answer.headers.get_list("watchword-nonce"), answer.content)
    assert guard.known is not None
    return guard.known.knowledge


@pytest.fixture
def guard() -> Learner:
    """What a guard knows, without its thread."""
    return Learner(ISSUER, max_staleness=timedelta(seconds=30))


async def test_a_guard_that_has_seen_more_proves_the_loss(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """It gets no page, nor does any other after it; what it knows stays."""
    await _cut(authority)
    known = await _learn(guard, authority)
    again = await restored(backup)
    for follower in (guard, Learner(ISSUER, max_staleness=timedelta(seconds=30))):
        with pytest.raises(TransportError, match="503 history_lost"):
            await _learn(follower, again)
    assert guard.known is not None
    assert guard.known.knowledge is known


async def test_what_happened_since_the_restore_does_not_hide_the_loss(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """The log has grown to where the guard is, and beyond: another entry stands there."""
    await _cut(authority)
    await _learn(guard, authority)
    again = await restored(backup)
    await _cut(again)
    await _cut(again)
    with pytest.raises(TransportError, match="503 history_lost"):
        await _learn(guard, again)
    assert "another entry" in ((await _head(again)).alarm or "")


async def test_after_recovery_the_guard_goes_on_in_the_new_epoch(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """With a snapshot, in which nothing is left of the lost history, its keys neither."""
    await _cut(authority)
    before = await _learn(guard, authority)
    again = await restored(backup)
    await recover(again)
    after = await _learn(guard, again)
    assert (after.instance, after.epoch != before.epoch) == (before.instance, True)
    assert not {key.kid for key in after.keys} & {key.kid for key in before.keys}


async def test_a_foreign_cutoff_that_was_lost_lets_nobody_in(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """After the recovery neither a guard that knew of it nor a new one takes what it had cut off."""
    async with authority.changing() as connection:
        before = latest_second(await clock(connection))
        await append_foreign(connection, [ForeignCutoff(ELSEWHERE, Scope.USER, "f-1", before, "signed_out")])
    known = await _learn(guard, authority)
    assert len(known.foreign) == 1
    again = await restored(backup)
    await recover(again)
    facts: dict[str, Any] = {"client": "", "session": "", "roles": (), "token": ""}
    for follower in (guard, Learner(ISSUER, max_staleness=timedelta(seconds=30))):
        known = await _learn(follower, again)
        assert known.foreign.judge(ELSEWHERE, subject="f-1", issued_at=before, **facts) is not None
        assert known.foreign.judge(ELSEWHERE, subject="f-1", issued_at=known.foreign.floor + 1, **facts) is None


async def test_what_was_restored_closes_what_it_was_made_of(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """Where the old database still answers, a guard that was recovered proves there that it is over."""
    again = await restored(backup)
    await recover(again)
    await _learn(guard, again)
    with pytest.raises(TransportError, match="503 history_lost"):
        await _learn(guard, authority)
    assert (await _head(authority)).alarm == "a guard has seen a later epoch"


@pytest.mark.parametrize("survive", [False, True])
async def test_whether_sessions_survive_is_a_setting(
    authority: Authority, http: AsyncClient, operator: dict[str, str], *, survive: bool
) -> None:
    """Access tokens never do; a session that was revoked in the history that is left stays dead either way."""
    authority.settings = msgspec.structs.replace(authority.settings, sessions_survive=survive)
    user = await make_user(http, operator)
    ended = await sign_in(http)
    await http.post(f"/admin/users/{user['id']}/sign-out", headers=operator)
    lives = await sign_in(http)
    await recover(authority)
    assert await account(http, lives) == "key_withdrawn"
    assert code(await refresh(http, lives["refresh_token"])) == ("ok" if survive else "invalid_grant")
    assert code(await refresh(http, ended["refresh_token"])) == "invalid_grant"


async def test_one_backup_restored_twice_gives_two_histories(backup: Path, restored: Restore, guard: Learner) -> None:
    """Their epochs differ, though all that is counted is the same: what one issues counts nothing at the other."""
    one, other = await restored(backup), await restored(backup)
    first, second = (await recover(one)).position, (await recover(other)).position
    assert (first.number, first.epoch != second.epoch) == (second.number, True)
    token = await operator_token(one)
    async with _http(other) as http:
        assert code(await http.get("/admin/status", headers=bearer(token))) == "unknown_key"


async def test_a_clone_and_its_original_know_nothing_of_one_another(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """A guard of the one can prove nothing at the other, and no page of the one goes on where the other's ended."""
    clone = await restored(backup)
    await recover(clone, clone=True)
    assert (await _head(clone)).instance != (await _head(authority)).instance
    await _cut(authority)
    of_clone = Learner(ISSUER, max_staleness=timedelta(seconds=30))
    await _learn(guard, authority)
    await _learn(of_clone, clone)
    for follower, elsewhere in ((guard, clone), (of_clone, authority)):
        page = (await elsewhere.reader.read(elsewhere.reader.cursor(follower.question().cursor or ""))).page
        assert page.after is None
        assert (await _head(elsewhere)).alarm is None


async def test_a_guard_of_the_original_refuses_a_clone_of_another_name(
    authority: Authority, guard: Learner, backup: Path, restored: Restore
) -> None:
    """A test system has an issuer of its own: whatever it answers, the guard keeps what it knows."""
    known = await _learn(guard, authority)
    staging = await restored(backup, "http://127.0.0.1:9999")
    await recover(staging, clone=True)
    with pytest.raises(FeedError, match="the feed of another issuer"):
        await _learn(guard, staging)
    assert guard.known is not None
    assert guard.known.knowledge is known
