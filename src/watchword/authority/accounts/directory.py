"""Users as the database holds them."""

import json
import secrets
from typing import Any, Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.log.head import standing
from watchword.authority.schema import user_roles, users
from watchword.core.cutoffs import Cutoff, Scope
from watchword.errors import LastAdministrator, NotFound

ADMINISTRATOR: Final = "administrator"
"""The role that administers the authority itself; services give their own roles other names."""


class User(msgspec.Struct, frozen=True):
    """A user's row and roles. ``id`` is opaque and never used again; ``name`` is what one signs in with."""

    id: str
    name: str
    display_name: str
    password_hash: str
    must_change: bool
    disabled: bool
    claims: dict[str, Any]
    cutoff: int
    cutoff_reason: str
    created_at: float
    roles: frozenset[str]

    @property
    def cut(self) -> Cutoff | None:
        """The cutoff that stands on this user for ever."""
        return standing(self.cutoff, Scope.USER, self.id, self.cutoff_reason)

    def __repr__(self) -> str:
        return f"User(id={self.id!r}, name={self.name!r})"


async def find_user(connection: AsyncConnection, name: str) -> User | None:
    """The user who signs in with that name, in the connection's snapshot."""
    return await _read(connection, _BY_NAME, name)


async def read_user(connection: AsyncConnection, identifier: str) -> User | None:
    """The user of that id, in the connection's snapshot."""
    return await _read(connection, _BY_ID, identifier)


async def known_user(connection: AsyncConnection, identifier: str) -> User:
    """The user of that id; `NotFound` if there is none."""
    user = await read_user(connection, identifier)
    if user is None:
        raise NotFound("no user of that id")
    return user


async def check_not_last_administrator(connection: AsyncConnection, user: User) -> None:
    """`LastAdministrator` if no other enabled administrator is there; call it before taking this one's power."""
    if ADMINISTRATOR not in user.roles or user.disabled:
        return
    others = (
        select(func.count())
        .select_from(users.join(user_roles, user_roles.c.user == users.c.id))
        .where(user_roles.c.role == ADMINISTRATOR, users.c.disabled == 0, users.c.id != user.id)
    )
    if not (await connection.execute(others)).scalar_one():
        raise LastAdministrator(f"{user.name} is the last administrator")


def new_user_id() -> str:
    """A new opaque id. The underscore is what no client's id may hold, so that the two never meet in ``sub``."""
    return "u_" + secrets.token_hex(10)


def user_of(row: Row) -> User | None:
    """The user from a row with its columns; None if there is none in it."""
    if row["user_id"] is None:
        return None
    return User(
        row["user_id"],
        row["user_name"],
        row["user_display_name"],
        row["user_password_hash"],
        bool(row["user_must_change"]),
        bool(row["user_disabled"]),
        json.loads(row["user_claims"]),
        row["user_cutoff"],
        row["user_cutoff_reason"],
        row["user_created_at"],
        frozenset((row["user_roles"] or "").split()),
    )


_held: Final = (
    select(func.aggregate_strings(user_roles.c.role, " "))
    .where(user_roles.c.user == users.c.id)
    .correlate(users)
    .scalar_subquery()
)
USER: Final = (*labelled("user", users), _held.label("user_roles"))
"""The columns that `user_of` makes a `User` of."""
_BY_NAME: Final = Prepared(select(*USER).where(users.c.name == slot("wanted")))
_BY_ID: Final = Prepared(select(*USER).where(users.c.id == slot("wanted")))


async def _read(connection: AsyncConnection, query: Prepared, wanted: str) -> User | None:
    row = await query.row(connection, wanted=wanted)
    return user_of(row) if row else None
