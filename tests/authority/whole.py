"""All that a database holds, and what has become of it between two moments."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, insert, select

from watchword.authority.database import Database
from watchword.authority.schema import metadata

Dump = Mapping[str, list[dict[str, Any]]]
"""The rows of each table."""
_MADE_UP: Final = frozenset(
    {"detail", "epoch", "hash", "id", "identity", "instance", "jwk", "key", "kid", "mark", "session"}
    | {"password_hash", "secret_hash", "successor", "target", "wrapped"}
)
"""Columns that may hold what is made up at random, or a number that the database gives."""


async def dump(database: Database) -> Dump:
    """Everything, as one snapshot."""
    held = dict[str, list[dict[str, Any]]]()
    async with database.reading() as connection:
        for table in metadata.sorted_tables:
            rows = (await connection.execute(select(table).order_by(*table.primary_key))).mappings()
            held[table.name] = [dict(row) for row in rows]
    return held


async def load(database: Database, held: Dump) -> None:
    """Let it hold that and nothing else."""
    async with database.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(delete(table))
        for table in metadata.sorted_tables:
            if held[table.name]:
                await connection.execute(insert(table), held[table.name])


def difference(before: Dump, after: Dump) -> dict[str, list[str]]:
    """What was added, removed and changed, for each table where anything was; names and times as such only."""
    known = {value for rows in before.values() for row in rows for value in row.values()}
    found = {}
    for table in metadata.sorted_tables:
        keys = [column.name for column in table.primary_key]
        old = {tuple(row[key] for key in keys): row for row in before[table.name]}
        new = {tuple(row[key] for key in keys): row for row in after[table.name]}
        changes = [f"- {key}" for key in old.keys() - new.keys()]
        changes += [f"+ {_plain(row, known)}" for key, row in new.items() if key not in old]
        for key in old.keys() & new.keys():
            changed = {name: value for name, value in new[key].items() if old[key][name] != value}
            changes += [f"* {key} {_plain(changed, known)}"] if changed else []
        if changes:
            found[table.name] = sorted(changes)
    return found


def _plain(row: Mapping[str, Any], known: set[Any]) -> dict[str, Any]:
    return {name: _named(name, value, known) for name, value in row.items()}


def _named(name: str, value: Any, known: set[Any]) -> Any:
    if isinstance(value, float) or name == "foreign_floor":
        return "a time"
    made_up = name == "id" if isinstance(value, int) else name in _MADE_UP and value not in known
    return "something new" if made_up and value is not None else value
