"""Audiences: the services that accept tokens."""

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.database import clock
from watchword.authority.http import Body, Call
from watchword.authority.names import AudienceName, AudienceNames
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import audiences, client_audiences
from watchword.errors import Conflict, InvalidField, NotFound


class AudienceShown(msgspec.Struct, frozen=True):
    """A service that accepts tokens. ``created_at`` is in seconds since 1970."""

    name: str
    created_at: float


class AudienceChanged(msgspec.Struct, frozen=True):
    """An audience after a change."""

    audience: AudienceShown
    position: str


class AudienceNamed(Body, frozen=True):
    """The audience's name; it may be an address, so it stands in no path."""

    name: AudienceName


async def list_audiences(authority: Authority, call: Call[Paged]) -> PageOf[AudienceShown]:
    """The audiences, by name."""
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, select(audiences), call.input, audiences.c.name)
    return PageOf([AudienceShown(row["name"], row["created_at"]) for row in rows], following)


async def add_audience(authority: Authority, call: Call[AudienceNamed]) -> AudienceChanged:
    """Register a service that accepts tokens."""
    name = call.input.name
    async with authority.administering() as connection:
        if await _there(connection, [name]):
            raise Conflict("an audience of that name exists", field="name")
        now = await clock(connection)
        await connection.execute(insert(audiences).values(name=name, created_at=now))
        position = await note(connection, call, "add_audience", name)
    return AudienceChanged(AudienceShown(name, now), position)


async def delete_audience(authority: Authority, call: Call[AudienceNamed]) -> Changed:
    """Remove an audience that no client names any more."""
    name = call.input.name
    async with authority.administering() as connection:
        if not await _there(connection, [name]):
            raise NotFound("no audience of that name")
        used = select(client_audiences.c.client).where(client_audiences.c.audience == name).limit(1)
        if name == authority.settings.issuer or (await connection.execute(used)).first() is not None:
            raise Conflict("the audience is the authority's own, or a client names it")
        await connection.execute(delete(audiences).where(audiences.c.name == name))
        return Changed(await note(connection, call, "delete_audience", name))


async def check_audiences(connection: AsyncConnection, names: AudienceNames) -> frozenset[str]:
    """These audiences, if there are such; `InvalidField` otherwise."""
    if set(names) - await _there(connection, names):
        reason = "there is no audience of such a name"
        raise InvalidField("unknown audiences", field="audiences", reason=reason)
    return frozenset(names)


async def _there(connection: AsyncConnection, names: list[str]) -> set[str]:
    return set((await connection.execute(select(audiences.c.name).where(audiences.c.name.in_(names)))).scalars())
