"""The migrations lead to the schema that the code is written against."""

import sqlite3
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from watchword.authority.database import migrate
from watchword.authority.schema import metadata


def _tables(path: Path) -> dict[str, str]:
    """What SQLite itself says was made, one line each: constraints and the indexes' conditions too."""
    with sqlite3.connect(path) as raw:
        rows = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        made = {name: sorted(line.strip(" ,\n\t") for line in sql.splitlines()) for name, sql in rows}
    raw.close()
    return {name: "\n".join(lines) for name, lines in made.items()}


def test_a_migrated_database_is_the_schema(tmp_path: Path) -> None:
    """What the migrations make and what the schema says are the same tables, columns, keys, checks and indexes."""
    migrated, fresh = tmp_path / "migrated.db", tmp_path / "fresh.db"
    migrate(migrated)
    engine = create_engine(f"sqlite:///{fresh}")
    metadata.create_all(engine)
    engine.dispose()
    assert _tables(migrated) == _tables(fresh)


def test_nothing_is_left_for_a_migration_to_do(tmp_path: Path) -> None:
    """Alembic sees no difference between a migrated database and the schema."""
    path = tmp_path / "watchword.db"
    migrate(path)
    migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
