"""The migrations lead to the schema that the code is written against."""

import re
import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from watchword.authority.database import Database
from watchword.authority.schema import metadata


async def _migrate(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    await database.dispose()


def _tables(path: Path) -> dict[str, str]:
    """What SQLite itself says was made, part by part: constraints and the indexes' conditions too."""
    with sqlite3.connect(path) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        made = {name: sorted(part.strip() for part in re.split(r"[,\n]", sql)) for name, sql in rows}
    raw.close()
    return {name: "\n".join(filter(None, lines)) for name, lines in made.items()}


async def test_a_migrated_database_is_the_schema(tmp_path: Path) -> None:
    """What the migrations make and what the schema says are the same tables, columns, keys, checks and indexes."""
    migrated, fresh = tmp_path / "migrated.db", tmp_path / "fresh.db"
    await _migrate(migrated)
    engine = create_engine(f"sqlite:///{fresh}")
    metadata.create_all(engine)
    engine.dispose()
    assert _tables(migrated) == _tables(fresh)


async def test_nothing_is_left_for_a_migration_to_do(tmp_path: Path) -> None:
    """Alembic sees no difference between a migrated database and the schema."""
    path = tmp_path / "watchword.db"
    await _migrate(path)
    await _migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
