"""Statements that are run a thousand times a second."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.dialects import sqlite

from watchword.authority.clients import grants
from watchword.authority.database import SQLITE, Database, Now
from watchword.authority.engines.prepared import Prepared, slot
from watchword.authority.engines.sqlite import CLOCK
from watchword.authority.log import head
from watchword.authority.schema import audit


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[tuple[sqlite3.Connection, list[int]]]:
    """A connection of the plain driver to tables of ours, and what it asks its authorizer: it does while it plans."""
    file = tmp_path / "watchword.db"
    database = Database(f"{SQLITE}{file}")
    asyncio.run(_made(database))
    asked: list[int] = []

    def noting(action: int, *_: object) -> int:
        asked.append(action)
        return sqlite3.SQLITE_OK

    with closing(sqlite3.connect(file)) as connection:
        connection.create_function(CLOCK, 0, lambda: 0.0)
        connection.set_authorizer(noting)
        yield connection, asked


async def _made(database: Database) -> None:
    await database.migrate()
    await database.dispose()


@pytest.mark.parametrize(
    ("statement", "names"),
    [(grants._OWN, ["client"]), (grants._USERS, ["client", "presented"]), (head._READ, [])],
    ids=["a client's own token", "a refresh", "the head"],
)
def test_a_hot_statement_is_planned_once(
    planned: tuple[sqlite3.Connection, list[int]], statement: Prepared, names: list[str]
) -> None:
    """SQLite plans anew where a new value might lead to another index, at three times the statement's own price."""
    connection, asked = planned
    for value in ("one", "another", "a third"):
        asked.clear()
        text, parameters = statement.bound(sqlite.dialect(), dict.fromkeys(names, value))
        connection.execute(text, parameters).fetchall()
        assert bool(asked) == (value == "one")


@pytest.mark.both_databases
async def test_it_is_run_for_each_of_many(database_url: str) -> None:
    """In their order, in the connection's transaction, and with what the statement says by itself."""
    slots = dict.fromkeys(("action", "target", "outcome"), "")
    statement = Prepared(insert(audit).values(at=Now(), actor="ada", **{name: slot(name) for name in slots}))
    database = Database(database_url)
    await database.migrate()
    try:
        async with database.writing() as connection:
            await statement.run_all(connection, [slots | {"action": name} for name in "bac"])
        with suppress(LookupError):
            async with database.writing() as connection:
                await statement.run_all(connection, [slots | {"action": "undone"}])
                raise LookupError
        async with database.reading() as connection:
            rows = await connection.execute(select(audit.c.action, audit.c.actor).order_by(audit.c.id))
            assert [(row.action, row.actor) for row in rows] == [("b", "ada"), ("a", "ada"), ("c", "ada")]
    finally:
        await database.dispose()
