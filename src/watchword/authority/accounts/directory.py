"""Users as the database holds them."""

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.log.head import standing
from watchword.authority.schema import user_roles, users
from watchword.core.cutoffs import Cutoff, Scope
from watchword.errors import LastAdministrator, NotFound

ADMINISTRATOR: Final = "administrator"
"""The role that administers the authority itself; services give their own roles other names."""


@dataclass(frozen=True, slots=True)
class User:
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
    return await _read(connection, users.c.name == name)


async def read_user(connection: AsyncConnection, identifier: str) -> User | None:
    """The user of that id, in the connection's snapshot."""
    return await _read(connection, users.c.id == identifier)


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


async def _read(connection: AsyncConnection, which: ColumnElement[bool]) -> User | None:
    row = (await connection.execute(select(users).where(which))).mappings().one_or_none()
    if row is None:
        return None
    held = select(user_roles.c.role).where(user_roles.c.user == row["id"])
    return User(
        row["id"],
        row["name"],
        row["display_name"],
        row["password_hash"],
        bool(row["must_change"]),
        bool(row["disabled"]),
        json.loads(row["claims"]),
        row["cutoff"],
        row["cutoff_reason"],
        row["created_at"],
        frozenset((await connection.execute(held)).scalars()),
    )
