"""Roles: what there is, and who has which. Their names are global; what they permit, each service says itself."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import ADMINISTRATOR
from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_role
from watchword.authority.names import DisplayName, RoleName
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import roles, user_roles
from watchword.errors import Conflict, InvalidField, NotFound


class RoleShown(msgspec.Struct, frozen=True):
    """A role."""

    name: str
    description: str


class RoleChanged(msgspec.Struct, frozen=True):
    """A role after a change."""

    role: RoleShown
    position: str


class NewRole(Body, frozen=True):
    """A role to add."""

    name: RoleName
    description: DisplayName = ""


class RoleRename(Body, frozen=True):
    """The role's new name."""

    name: RoleName


async def list_roles(authority: Authority, call: Call[Paged]) -> PageOf[RoleShown]:
    """The roles, by name."""
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, select(roles), call.input, roles.c.name)
    return PageOf([RoleShown(row["name"], row["description"]) for row in rows], following)


async def add_role(authority: Authority, call: Call[NewRole]) -> RoleChanged:
    """Add a role."""
    asked = call.input
    async with authority.administering() as connection:
        await _check_free(connection, asked.name)
        await connection.execute(insert(roles).values(name=asked.name, description=asked.description))
        position = await note(connection, call, "add_role", asked.name)
    return RoleChanged(RoleShown(asked.name, asked.description), position)


async def rename_role(authority: Authority, call: Call[RoleRename]) -> RoleChanged:
    """Rename a role for all who have it; tokens with the old name die, and a refresh brings the new one."""
    old, new = call.path("role"), call.input.name
    async with authority.administering() as connection:
        role = await _changeable(connection, old)
        await _check_free(connection, new)
        await connection.execute(update(roles).where(roles.c.name == old).values(name=new))
        await cut_role(connection, old)
        position = await note(connection, call, "rename_role", old, f"to {new}")
    return RoleChanged(RoleShown(new, role.description), position)


async def delete_role(authority: Authority, call: Call[None]) -> Changed:
    """Remove a role from all who have it; tokens that carry it die."""
    name = call.path("role")
    async with authority.administering() as connection:
        await _changeable(connection, name)
        await connection.execute(delete(roles).where(roles.c.name == name))
        await cut_role(connection, name)
        return Changed(await note(connection, call, "delete_role", name))


async def known_role(connection: AsyncConnection, name: str) -> RoleShown:
    """The role of that name; `NotFound` if there is none."""
    row = (await connection.execute(select(roles).where(roles.c.name == name))).mappings().one_or_none()
    if row is None:
        raise NotFound("no role of that name")
    return RoleShown(row["name"], row["description"])


async def check_roles(connection: AsyncConnection, names: Iterable[str]) -> frozenset[str]:
    """These roles, if there are such; `InvalidField` otherwise."""
    wanted = frozenset(names)
    there = (await connection.execute(select(roles.c.name).where(roles.c.name.in_(wanted)))).scalars()
    if wanted - set(there):
        raise InvalidField("unknown roles", field="roles", reason="there is no role of such a name")
    return wanted


async def write_user_roles(connection: AsyncConnection, user: str, names: Iterable[str]) -> None:
    """Let a user have exactly these roles."""
    await connection.execute(delete(user_roles).where(user_roles.c.user == user))
    for name in names:
        await connection.execute(insert(user_roles).values(user=user, role=name))


async def _check_free(connection: AsyncConnection, name: str) -> None:
    if (await connection.execute(select(roles.c.name).where(roles.c.name == name))).first() is not None:
        raise Conflict("a role of that name exists", field="name")


async def _changeable(connection: AsyncConnection, name: str) -> RoleShown:
    if name == ADMINISTRATOR:
        raise Conflict("the authority's own role stays as it is")
    return await known_role(connection, name)
