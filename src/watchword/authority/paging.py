"""Long lists, page by page: each page names the last thing that it holds, and the next one begins after that.

So nothing is shown twice or passed over because somebody adds or removes a row between two pages.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta
from sqlalchemy import Column, ColumnElement, RowMapping, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.http import Body
from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode, json_decode, json_encode
from watchword.errors import InvalidField

Item = TypeVar("Item")
# What a cursor may hold: it comes from outside, and what no database holds would be an error there.
_HELD: Final[dict[type, Any]] = {
    str: Annotated[str, Meta(pattern=r"^[^\x00]*$")],
    float: float,
    int: Annotated[int, Meta(ge=0, le=2**63 - 1)],
}


class Paged(Body, frozen=True):
    """Where to go on (``next`` of the page before) and how many items to give."""

    after: Annotated[str, Meta(max_length=1024)] = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class PageOf(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list. ``next`` leads to the page after it; null at the end."""

    items: list[Item]
    next: str | None


async def read_page(
    connection: AsyncConnection,
    query: Select[Any],
    asked: Paged,
    *order: Column[Any],
    newest_first: bool = False,
) -> tuple[Sequence[RowMapping], str | None]:
    """The rows of one page, in the order of columns that together are unique, and what leads to the next page."""
    if asked.after:
        place, values = tuple_(*order), tuple_(*_open(asked.after, order), types=[column.type for column in order])
        after: ColumnElement[bool] = place < values if newest_first else place > values
        query = query.where(after)
    ordered = query.order_by(*(column.desc() if newest_first else column for column in order))
    rows = (await connection.execute(ordered.limit(asked.limit + 1))).mappings().all()
    if len(rows) <= asked.limit:
        return rows, None
    return rows[: asked.limit], _seal([rows[asked.limit - 1][column] for column in order])


def _seal(values: list[object]) -> str:
    return b64url_encode(json_encode(values))


def _open(cursor: str, order: Sequence[Column[Any]]) -> list[object]:
    try:
        values = msgspec.convert(json_decode(b64url_decode(cursor.encode())), list[Any])
        return [
            msgspec.convert(value, _HELD[column.type.python_type]) for value, column in zip(values, order, strict=True)
        ]
    except (NotStrict, ValueError):  # msgspec's own error is a ValueError
        raise InvalidField("not a cursor", field="after", reason="it is not the next of a page of this list") from None
