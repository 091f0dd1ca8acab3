"""Wherever a process is cut off: what was acknowledged holds, and the rest has happened wholly or not at all."""

import itertools
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import asyncpg
import msgspec
import pytest
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import func, select
from tests.authority.crashing import Crash, Died, Drop, armed, install
from tests.authority.helpers import ISSUER, PASSWORD, account, bearer, code, good, sign_in
from tests.authority.scenes import DEVICES, OPERATIONS, Operation, Stage, asked, prepared, served
from tests.authority.whole import Dump, difference, dump, load

from watchword.authority.app import build_app
from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.operator import operator_token
from watchword.authority.schema import head, keys, users
from watchword.authority.settings import Settings

Empty = Callable[[], AbstractContextManager[Settings]]

pytestmark = pytest.mark.both_databases


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """No grace for spent tokens; and hooks in the drivers."""
    install(monkeypatch.setattr)
    return msgspec.structs.replace(settings, refresh_grace=0)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """What is looked at and put back, whoever serves it."""
    database = Database(settings.database)
    await database.migrate()
    yield database
    await database.dispose()


async def _judge(settings: Settings, stage: Stage, operation: Operation, *, done: bool) -> None:
    """A process that starts now refuses whom it must, can be asked again, and goes on."""
    async with served(settings, stage) as scene:
        ends = operation.ends if done else {}
        assert await scene.refuses() == {device: ends.get(device, "ok") for device in DEVICES}
        assert (await operation.ask(scene)).status_code < 500
        await scene.works()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_cut_off_anywhere_it_has_happened_wholly_or_not_at_all(
    settings: Settings, database: Database, name: str
) -> None:
    """At each write, before each commit and after it; what counts against guessing may stand by itself."""
    operation, stage = OPERATIONS[name], await prepared(settings)
    before = await dump(database)
    whole, points = await _undisturbed(settings, database, operation, stage, before)
    commits = points.count("after COMMIT")
    for at in itertools.count(1):
        await load(database, before)
        crash = Crash(at)
        answer = await _asked(settings, stage, operation, crash)
        done, found = crash.commits == commits, difference(before, await dump(database))
        assert found == whole if done else found.keys() <= ({"throttle"} if crash.commits else set()), crash.points
        await _judge(settings, stage, operation, done=done)
        if answer is not None:
            break


async def _undisturbed(
    settings: Settings, database: Database, operation: Operation, stage: Stage, before: Dump
) -> tuple[dict[str, list[str]], list[str]]:
    """What the operation changes, and the points at which it may be cut off."""
    crash = Crash()
    answer = await _asked(settings, stage, operation, crash)
    assert answer is not None
    assert answer.status_code == operation.status, answer.text
    assert len(crash.points) > 2 * crash.commits > 0
    return difference(before, await dump(database)), crash.points


async def _asked(settings: Settings, stage: Stage, operation: Operation, crash: Crash) -> Response | None:
    """The answer of a process of its own, or None if it was cut off before there was any."""
    async with served(settings, stage) as scene:
        return await asked(scene, operation, crash)


@pytest.mark.parametrize("name", ["a refresh", "a user revoked"])
async def test_killed_at_its_end_it_has_happened_wholly_or_not_at_all(
    settings: Settings, database: Database, name: str
) -> None:
    """The same with a real process and SIGKILL: at the last write, before the commit and after it."""
    operation, stage = OPERATIONS[name], await prepared(settings)
    before = await dump(database)
    whole, points = await _undisturbed(settings, database, operation, stage, before)
    for at, commits in ((len(points) - 2, 0), (len(points) - 1, 0), (len(points), 1)):
        await load(database, before)
        given = {"settings": msgspec.structs.asdict(settings), "stage": asdict(stage), "name": name, "at": at}
        command = [sys.executable, "-m", "tests.authority.dying"]
        process = await anyio.run_process(command, input=json.dumps(given).encode(), check=False)
        assert (process.returncode, process.stdout.split()) == (-signal.SIGKILL, [b"%d" % commits]), process.stderr
        assert difference(before, await dump(database)) == (whole if commits else {})
        await _judge(settings, stage, operation, done=bool(commits))


@pytest.mark.parametrize("name", ["a refresh", "a user revoked", "a change of the password"])
async def test_a_commit_whose_answer_is_lost_is_not_acknowledged(
    settings: Settings, database: Database, name: str
) -> None:
    """The process lives on and cannot know: it answers 503, and can be asked again as if nothing had been done."""
    operation, stage = OPERATIONS[name], await prepared(settings)
    before = await dump(database)
    whole, points = await _undisturbed(settings, database, operation, stage, before)
    await load(database, before)

    def lost(drop: Drop) -> None:
        if settings.database.startswith("sqlite"):
            raise sqlite3.OperationalError("disk I/O error")
        drop()
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    async with served(settings, stage) as scene:
        answer = await asked(scene, operation, Crash(len(points), lost))
        assert answer is not None
        assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, "unavailable", "1")
        assert difference(before, await dump(database)) == whole
        assert (await operation.ask(scene)).status_code < 500
        await scene.works()
    await _judge(settings, stage, operation, done=True)


@pytest.fixture
def empty(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Empty:
    """What makes an empty database of that kind for a while: the settings that name it."""

    @contextmanager
    def made() -> Iterator[Settings]:
        if settings.database.startswith("sqlite"):
            with TemporaryDirectory(dir=tmp_path) as folder:
                yield msgspec.structs.replace(settings, database=f"sqlite:///{folder}/watchword.db")
            return
        with request.getfixturevalue("postgres").database() as url:
            yield msgspec.structs.replace(settings, database=url)

    return made


async def test_a_first_start_that_is_cut_off_can_be_done_again(empty: Empty) -> None:
    """Around each commit of it: the next start does the rest, and there is one log, one administrator, two keys."""
    with empty() as settings:
        points = (await _started(settings, Crash())).points
    commits = [at for at, point in enumerate(points, 1) if "COMMIT" in point]
    assert len(commits) >= 4
    for at in sorted({1, *commits, *(each + 1 for each in commits[:-1])}):
        with empty() as settings:
            crash = await _started(settings, Crash(at))
            assert crash.dead, points
            authority = await Authority.open(settings)
            counts = select(
                *(select(func.count()).select_from(table).scalar_subquery() for table in (head, users, keys))
            )
            async with authority.database.reading() as connection:
                assert tuple((await connection.execute(counts)).one()) == (1, 1, 2)
            await _administrator_signs_in(authority)
            await authority.close()


async def _started(settings: Settings, crash: Crash) -> Crash:
    """A first start, cut off or not."""
    token = armed.set(crash)
    try:
        authority = await Authority.open(settings)
    except Died:
        return crash
    finally:
        armed.reset(token)
    await authority.close()
    return crash


async def _administrator_signs_in(authority: Authority) -> None:
    """With the password that was told, or with a new one, where the process that should have told it was cut off."""
    async with AsyncClient(transport=ASGITransport(build_app(authority)), base_url=ISSUER) as http:
        operator = bearer(await operator_token(authority))
        (admin,) = good(await http.get("/admin/users", headers=operator))["items"]
        if authority.first_administrator:
            password = authority.first_administrator.password
        else:
            reset = await http.post(f"/admin/users/{admin['id']}/reset-password", json={}, headers=operator)
            password = good(reset)["one_time_password"]
        tokens = await sign_in(http, admin["username"], password=password, new_password=PASSWORD)
        assert await account(http, tokens) == "ok"
