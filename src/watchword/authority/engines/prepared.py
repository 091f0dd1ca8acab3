"""Statements that are compiled once, for what is run a thousand times a second."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Dialect, FromClause, Label, String, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from watchword.authority.engines.inline import InlineConnection, Row


class Prepared:
    """A statement that is compiled once for each kind of database: for what is run a thousand times a second.

    Give its parameters by name; the rows have the columns' labels, and what the driver gives for their values.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str], Mapping[str, Any]]] = {}

    async def run(self, connection: AsyncConnection, **values: object) -> None:
        """Run it in the connection's transaction; it gives no rows."""
        await self.rows(connection, **values)

    async def row(self, connection: AsyncConnection, **values: object) -> Row:
        """Run it in the connection's transaction: the first row, empty if there is none."""
        rows = await self.rows(connection, **values)
        return rows[0] if rows else {}

    async def rows(self, connection: AsyncConnection, **values: object) -> list[Row]:
        """Run it in the connection's transaction: all rows."""
        # By the driver itself, since what SQLAlchemy makes of a result costs more than the statement.
        driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
        text, ordered = self.bound(connection.dialect, values)
        if isinstance(driver, InlineConnection):
            return await driver.fetch(text, ordered)
        return [dict(row) for row in await driver.fetch(text, *ordered)]

    def bound(self, dialect: Dialect, values: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
        """Its text for a driver, and the values in the order of their places there."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        text, order, fixed = compiled
        values = {**fixed, **values}
        return text, tuple(values[name] for name in order)

    def _compile(self, dialect: Dialect) -> tuple[str, Sequence[str], Mapping[str, Any]]:
        form: Any = self._statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        return str(form), form.positiontup or (), form.params


def slot(name: str, kind: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """A parameter of a `Prepared` statement, a text unless another kind is given."""
    return bindparam(name, None, String() if kind is None else kind)


def labelled(prefix: str, table: FromClause) -> tuple[Label[Any], ...]:
    """All columns of a table, each named with a prefix, so that several tables fit into one row."""
    return tuple(column.label(f"{prefix}_{column.name}") for column in table.c)
