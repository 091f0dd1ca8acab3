"""Statements that are compiled once, for what is run a thousand times a second."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Dialect, FromClause, Label, String, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from watchword.authority.engines.inline import InlineConnection, Row

_Form = tuple[str, Sequence[str], Mapping[str, Any]]
"""A statement's text for one kind of database, its places' names in order, and the values that it has by itself."""


class Prepared:
    """A statement that is compiled once for each kind of database: for what is run a thousand times a second.

    Give its parameters by name; the rows have the columns' labels, and what the driver gives for their values.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._forms: dict[str, _Form] = {}

    async def run(self, connection: AsyncConnection, **values: object) -> None:
        """Run it in the connection's transaction; it gives no rows."""
        await self.rows(connection, **values)

    async def run_all(self, connection: AsyncConnection, many: Iterable[Mapping[str, object]]) -> None:
        """Run it in the connection's transaction once for each of these; it gives no rows."""
        driver = _driver(connection)
        text, order, fixed = self._form(connection.dialect)
        await driver.executemany(text, [_in_order(order, {**fixed, **values}) for values in many])

    async def row(self, connection: AsyncConnection, **values: object) -> Row:
        """Run it in the connection's transaction: the first row, empty if there is none."""
        rows = await self.rows(connection, **values)
        return rows[0] if rows else {}

    async def rows(self, connection: AsyncConnection, **values: object) -> list[Row]:
        """Run it in the connection's transaction: all rows."""
        # By the driver itself, since what SQLAlchemy makes of a result costs more than the statement.
        driver = _driver(connection)
        text, ordered = self.bound(connection.dialect, values)
        if isinstance(driver, InlineConnection):
            return await driver.fetch(text, ordered)
        return [dict(row) for row in await driver.fetch(text, *ordered)]

    def bound(self, dialect: Dialect, values: Mapping[str, object]) -> tuple[str, tuple[object, ...]]:
        """Its text for a driver, and the values in the order of their places there."""
        text, order, fixed = self._form(dialect)
        return text, _in_order(order, {**fixed, **values})

    def _form(self, dialect: Dialect) -> _Form:
        form = self._forms.get(dialect.name)
        if form is None:
            compiled: Any = self._statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
            form = self._forms[dialect.name] = str(compiled), compiled.positiontup or (), compiled.params
        return form


def _in_order(order: Sequence[str], values: Mapping[str, object]) -> tuple[object, ...]:
    return tuple([values[name] for name in order])


def _driver(connection: AsyncConnection) -> Any:
    return connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]


def slot(name: str, kind: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """A parameter of a `Prepared` statement, a text unless another kind is given."""
    return bindparam(name, None, String() if kind is None else kind)


def labelled(prefix: str, table: FromClause) -> tuple[Label[Any], ...]:
    """All columns of a table, each named with a prefix, so that several tables fit into one row."""
    return tuple(column.label(f"{prefix}_{column.name}") for column in table.c)
