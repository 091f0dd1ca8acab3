"""Cursors of lists: whatever comes in, out comes a page or a refusal."""

import pytest
from httpx2 import AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column
from tests.authority.helpers import Headers, code

from watchword.authority.paging import _open, _seal
from watchword.authority.schema import audit, sessions, users
from watchword.core.encoding import b64url_encode
from watchword.errors import InvalidField

pytestmark = pytest.mark.both_databases

ORDERS: list[tuple[Column[object], ...]] = [(users.c.name,), (audit.c.id,), (sessions.c.created_at, sessions.c.id)]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(), st.just([1])
)


@given(st.sampled_from(ORDERS), st.lists(VALUES, max_size=3))
def test_a_cursor_opens_to_what_the_columns_hold_or_not_at_all(
    order: tuple[Column[object], ...], values: list[object]
) -> None:
    """Of the right number and types, and within what a database holds; anything else is refused."""
    try:
        cursor = _seal(values)
    except ValueError:  # a lone surrogate has no encoding
        return
    try:
        opened = _open(cursor, order)
    except InvalidField:
        return
    assert opened == values
    for value, column in zip(opened, order, strict=True):
        assert type(value) is column.type.python_type
        assert not isinstance(value, int) or 0 <= value < 2**63


@pytest.mark.parametrize(
    "cursor",
    [
        "é",
        "*",
        "A",
        b64url_encode(b"{}"),
        b64url_encode(b"[9223372036854775808]"),
        b64url_encode(b"[-1]"),
        b64url_encode(b"[1e999]"),
        b64url_encode(b'["\\u0000"]'),
        b64url_encode(b"[" + b"9" * 500 + b',"x"]'),
        b64url_encode(b'["x"'),
        b64url_encode(b"\xff"),
    ],
)
async def test_no_list_stumbles_over_a_forged_cursor(http: AsyncClient, operator: Headers, cursor: str) -> None:
    """Lists by a text, a number and a time with an id alike answer 422."""
    for path in ("users", "audit", "revocations", "sessions"):
        response = await http.get(f"/admin/{path}", params={"after": cursor}, headers=operator)
        assert (path, response.status_code, code(response)) == (path, 422, "invalid_field")
