"""The migrations lead to the schema that the code is written against, on both databases."""

import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from servers.postgres import Server
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from watchword.authority.database import Database
from watchword.authority.schema import metadata

_CATALOG: Final = """
    SELECT format('%s.%s', relation.relname, attname), 'column',
           format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
           || coalesce(' DEFAULT ' || pg_get_expr(adbin, adrelid), '') || attidentity::text || attgenerated::text
           || coalesce(' COLLATE ' || nullif(attcollation, typcollation)::regcollation, '')
    FROM pg_attribute
    JOIN pg_class AS relation ON relation.oid = attrelid JOIN pg_type ON pg_type.oid = atttypid
    LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT format('%s.%s', conrelid::regclass, conname), 'constraint', pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s.%s', tablename, indexname), 'index', indexdef
    FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT relname, 'relation', relkind::text
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT tgname, 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
"""
"""All that the server itself says of what was made, where alembic's comparison is blind: checks, conditions, rules."""


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.dispose()


@asynccontextmanager
async def _open(url: str) -> AsyncIterator[AsyncConnection]:
    kind, _, rest = url.partition(":")
    engine = create_async_engine({"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[kind] + ":" + rest)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def _create(url: str) -> None:
    async with _open(url) as connection:
        await connection.run_sync(metadata.create_all)


def _in_file(url: str) -> Mapping[str, str]:
    """What SQLite says was made, part by part: constraints and the indexes' conditions too."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        made = {name: sorted(part.strip() for part in re.split(r"[,\n]", sql)) for name, sql in rows}
    raw.close()
    return {name: "\n".join(filter(None, lines)) for name, lines in made.items()}


def _in_catalog(server: Server, url: str) -> set[tuple[Any, ...]]:
    """What PostgreSQL says was made."""
    rows = server.sql(_CATALOG, database=urlsplit(url).path[1:])
    return {row for row in rows if not row[0].startswith("alembic_version")}


async def test_a_migrated_file_is_the_schema(tmp_path: Path) -> None:
    """What the migrations make and what the schema says are the same tables, columns, keys, checks and indexes."""
    migrated, fresh = (f"sqlite:///{tmp_path / name}" for name in ("migrated.db", "fresh.db"))
    await _migrate(migrated)
    await _create(fresh)
    assert _in_file(migrated) == _in_file(fresh)


@pytest.mark.parametrize("version", ["postgres", "postgres16"])
async def test_a_migrated_server_is_the_schema(request: pytest.FixtureRequest, version: str) -> None:
    """The same on PostgreSQL, whose catalog also tells of sequences, rules of foreign keys, and names."""
    server: Server = request.getfixturevalue(version)
    with server.database() as migrated, server.database() as fresh:
        await _migrate(migrated)
        await _create(fresh)
        made = _in_catalog(server, migrated)
        assert made == _in_catalog(server, fresh)
    kinds = {kind for _, kind, _ in made}
    assert kinds == {"column", "constraint", "index", "relation"}


@pytest.mark.both_databases
async def test_nothing_is_left_for_a_migration_to_do(database_url: str) -> None:
    """Alembic sees no difference between a migrated database and the schema."""
    await _migrate(database_url)
    await _migrate(database_url)

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with _open(database_url) as connection:
        assert await connection.run_sync(compare) == []
