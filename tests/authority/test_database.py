"""Transactions: one snapshot for a reader, one writer at a time, and what is acknowledged is on disk."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers.postgres import Server
from sqlalchemy import insert, select, text

from watchword.authority.database import Database, after_commit, clock
from watchword.authority.schema import audiences
from watchword.errors import Unavailable

pytestmark = pytest.mark.both_databases

_names = select(audiences.c.name).order_by(audiences.c.name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An empty database."""
    database = Database(database_url)
    await database.migrate()
    yield database
    await database.dispose()


async def _add(database: Database, name: str) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(audiences).values(name=name, created_at=0))


async def test_a_reader_sees_one_snapshot(database: Database) -> None:
    """What is committed between two statements of a reader is not seen by the second one."""
    await _add(database, "a")
    async with database.reading() as connection:
        assert (await connection.execute(_names)).scalars().all() == ["a"]
        await _add(database, "b")
        assert (await connection.execute(_names)).scalars().all() == ["a"]
    async with database.reading() as connection:
        assert (await connection.execute(_names)).scalars().all() == ["a", "b"]


async def test_a_failed_block_changes_nothing(database: Database) -> None:
    """An exception in a writing block takes all of it back."""

    async def fail() -> None:
        async with database.writing() as connection:
            await connection.execute(insert(audiences).values(name="a", created_at=0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.reading() as connection:
        assert (await connection.execute(_names)).scalars().all() == []


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_done_is_told_once_it_is_durable(database: Database, *, fails: bool) -> None:
    """And not at all if the transaction fails."""
    told: list[str] = []

    async def act() -> None:
        async with database.writing() as connection:
            after_commit(connection, lambda: told.append("done"))
            assert told == []
            if fails:
                raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        await act()
    await _add(database, "a")
    assert told == ([] if fails else ["done"])


async def test_writers_that_must_be_alone_wait_for_one_another(database: Database) -> None:
    """Read, then write, in fifty tasks at once: no update is lost and none fails."""

    async def count_up() -> None:
        async with database.writing(alone=True) as connection:
            number = len((await connection.execute(_names)).all())
            await asyncio.sleep(0)
            await connection.execute(insert(audiences).values(name=f"{number:03}", created_at=0))

    await asyncio.gather(*(count_up() for _ in range(50)))
    async with database.reading() as connection:
        assert (await connection.execute(_names)).scalars().all() == [f"{n:03}" for n in range(50)]


async def test_commits_to_a_file_are_durable(tmp_path: Path) -> None:
    """Every connection writes ahead to a log that is synchronised at each commit."""
    database, pragmas = Database(f"sqlite:///{tmp_path / 'w.db'}"), {}
    async with database.reading() as connection:
        for name in ("journal_mode", "synchronous", "foreign_keys"):
            pragmas[name] = (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
    await database.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("alone", [False, True])
async def test_commits_to_a_server_are_durable(postgres: Server, postgres_url: str, *, alone: bool) -> None:
    """Whatever the database is set to, a commit of ours is acknowledged once it is on the disk."""
    postgres.sql(f"ALTER DATABASE {urlsplit(postgres_url).path[1:]} SET synchronous_commit = off")
    database = Database(postgres_url)
    async with database.writing(alone=alone) as connection:
        assert (await connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"
    async with database.reading() as connection:
        assert (await connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "off"
    await database.dispose()


async def test_a_reader_of_a_server_changes_nothing(postgres_url: str) -> None:
    """The server itself refuses what would."""
    database = Database(postgres_url)
    await database.migrate()
    with pytest.raises(Unavailable):
        async with database.reading() as connection:
            await connection.execute(insert(audiences).values(name="a", created_at=0))
    await database.dispose()


async def test_a_database_that_fails_is_unavailable(database: Database) -> None:
    """Nothing of the driver's escapes, and the refusal says to come again."""
    with pytest.raises(Unavailable) as refusal:
        async with database.reading() as connection:
            await connection.execute(text("SELECT * FROM nowhere"))
    assert (refusal.value.status, refusal.value.retry_after) == (503, 1)


async def test_the_clock_agrees_with_the_system(database: Database) -> None:
    """The database's clock is in seconds since 1970, with fractions."""
    seconds = {"sqlite": "CAST(strftime('%s', 'now') AS REAL)", "postgresql": "floor(extract(epoch FROM now()))"}
    async with database.reading() as connection:
        now = await clock(connection)
        whole = (await connection.execute(text(f"SELECT {seconds[connection.dialect.name]}"))).scalar_one()
    assert abs(now - float(whole)) < 2
    assert now != int(now)


async def test_the_file_is_its_owners_alone_and_migrating_twice_is_harmless(tmp_path: Path) -> None:
    """The database holds password hashes and wrapped keys."""
    path = tmp_path / "folder" / "w.db"
    for _ in range(2):
        database = Database(f"sqlite:///{path}")
        await database.migrate()
        await database.dispose()
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() != []
    connection.close()
