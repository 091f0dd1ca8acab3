"""Writers that wait for one another share a commit, and nothing else."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Database, after_commit
from watchword.authority.engines.inline import InlineConnection
from watchword.authority.schema import audiences
from watchword.errors import Unavailable

_names = select(audiences.c.name).order_by(audiences.c.name)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database."""
    database = Database(f"sqlite:///{tmp_path / 'w.db'}")
    await database.migrate()
    yield database
    await database.dispose()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One item for each commit that wrote something."""
    made: list[None] = []
    commit = InlineConnection.commit

    async def counted(connection: InlineConnection) -> None:
        if connection._connection.total_changes != connection._changes:
            made.append(None)
        await commit(connection)

    monkeypatch.setattr(InlineConnection, "commit", counted)
    return made


async def _insert(connection: AsyncConnection, name: str) -> None:
    await connection.execute(insert(audiences).values(name=name, created_at=0))


async def _add(database: Database, name: str) -> None:
    async with database.writing() as connection:
        await _insert(connection, name)


async def _stored(database: Database) -> list[str]:
    async with database.reading() as connection:
        return list((await connection.execute(_names)).scalars())


async def test_those_who_wait_share_a_commit(database: Database, commits: list[None]) -> None:
    """Two hundred writers at once: none waits for a commit of its own, and everything is there."""
    names = [f"{number:03}" for number in range(200)]
    await asyncio.gather(*(_add(database, name) for name in names))
    assert await _stored(database) == names
    assert len(commits) == 4


async def test_one_after_the_other_has_a_commit_each(database: Database, commits: list[None]) -> None:
    """Whoever finds nobody waiting does not wait either."""
    for name in "abc":
        await _add(database, name)
        assert name in await _stored(database)
    assert len(commits) == 3


async def test_who_fails_fails_alone(database: Database) -> None:
    """What one writer did is undone, and those before and behind it in the same transaction go on."""

    async def fail() -> None:
        async with database.writing() as connection:
            await _insert(connection, "b")
            raise ZeroDivisionError

    done = await asyncio.gather(_add(database, "a"), fail(), _add(database, "c"), return_exceptions=True)
    assert [type(one) for one in done] == [type(None), ZeroDivisionError, type(None)]
    assert await _stored(database) == ["a", "c"]


async def test_nobody_is_told_before_it_is_on_the_disk(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of three is through with its statements, and still waits for the commit of all."""
    told: list[str] = []
    commit = InlineConnection.commit

    async def looked_at(connection: InlineConnection) -> None:
        assert told == []
        await commit(connection)

    async def add(name: str) -> None:
        async with database.writing() as connection:
            await _insert(connection, name)
            after_commit(connection, lambda: told.append(name))
        told.append(name.upper())

    monkeypatch.setattr(InlineConnection, "commit", looked_at)
    await asyncio.gather(*map(add, "abc"))
    assert told == ["a", "A", "b", "B", "c", "C"]


async def test_a_commit_that_fails_fails_for_all(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of any of them is there; the next writer is not concerned."""
    commit = InlineConnection.commit

    async def failing(_: InlineConnection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(InlineConnection, "commit", failing)
        done = await asyncio.gather(*(_add(database, name) for name in "abc"), return_exceptions=True)
    assert InlineConnection.commit is commit
    assert [type(one) for one in done] == [Unavailable] * 3
    await _add(database, "d")
    assert await _stored(database) == ["d"]


async def test_a_transaction_that_is_lost_is_lost_for_all(database: Database) -> None:
    """Where SQLite undoes everything by itself, those who were through before have failed too."""

    async def lose() -> None:
        async with database.writing() as connection:
            driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
            driver.run("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    done = await asyncio.gather(_add(database, "a"), lose(), _add(database, "c"), return_exceptions=True)
    assert [type(one) for one in done] == [Unavailable, Unavailable, type(None)]
    assert await _stored(database) == ["c"]


async def test_a_transaction_that_is_gone_is_not_committed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever undid it, and however late: nobody is told that it is done."""
    commit = InlineConnection.commit

    async def too_late(connection: InlineConnection) -> None:
        connection.run("ROLLBACK")
        await commit(connection)

    with monkeypatch.context() as patch:
        patch.setattr(InlineConnection, "commit", too_late)
        done = await asyncio.gather(*(_add(database, name) for name in "abc"), return_exceptions=True)
    assert [type(one) for one in done] == [Unavailable] * 3
    assert await _stored(database) == []


async def test_the_end_waits_for_those_who_write(database: Database, tmp_path: Path) -> None:
    """Whoever had begun, or waited, is through when the database is closed."""
    tasks = [asyncio.create_task(_add(database, name)) for name in "abc"]
    await asyncio.sleep(0)
    await database.dispose()
    await asyncio.gather(*tasks)
    again = Database(f"sqlite:///{tmp_path / 'w.db'}")
    assert await _stored(again) == ["a", "b", "c"]
    await again.dispose()


async def test_who_ends_all_tasks_lets_nobody_write_beside_another(database: Database) -> None:
    """The transaction is taken from under a writer: the next one begins its own, once that one has left."""
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.writing() as connection:
            await _insert(connection, "a")
            inside.set()
            await go_on.wait()

    holder = asyncio.create_task(hold())
    await inside.wait()
    next_one = asyncio.create_task(_add(database, "b"))
    shared = database._engine._writers._shared  # type: ignore[attr-defined]
    shared.task.cancel()
    await asyncio.wait({shared.task})
    assert not next_one.done()
    go_on.set()
    done = await asyncio.gather(holder, next_one, return_exceptions=True)
    assert [type(one) for one in done] == [Unavailable, type(None)]
    assert await _stored(database) == ["b"]


async def test_who_leaves_while_waiting_holds_nobody_up(database: Database) -> None:
    """Writers that are cancelled at each point leave the turn to the others."""
    for ticks in range(12):
        tasks = [asyncio.create_task(_add(database, f"{ticks:02}{name}")) for name in "abcd"]
        for _ in range(ticks):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert done[1::2] == [None, None]
        assert {f"{ticks:02}b", f"{ticks:02}d"} <= set(await _stored(database))
    await _add(database, "z")
    assert "z" in await _stored(database)


async def test_a_transaction_that_cannot_begin_fails_for_its_writer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one tries again."""

    async def busy(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(InlineConnection, "patiently", busy)
        with pytest.raises(Unavailable):
            await _add(database, "a")
    await _add(database, "b")
    assert await _stored(database) == ["b"]
