"""Clients, as an administrator lists, adds, changes and removes them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.roles import check_roles
from watchword.authority.authority import Authority
from watchword.authority.bootstrap import OWN_CLIENT
from watchword.authority.changes import Changed, note
from watchword.authority.clients.audiences import check_audiences
from watchword.authority.clients.registry import (
    Client,
    Grant,
    hash_secret,
    known_client,
    new_client_secret,
    read_client,
)
from watchword.authority.database import lock_row
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_access_of_client, cut_access_of_user, cut_client
from watchword.authority.log.head import read_head
from watchword.authority.names import AudienceNames, ClientId, DisplayName, RoleNames, ScopeText
from watchword.authority.operator import OPERATOR
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import client_audiences, client_roles, clients, sessions
from watchword.authority.sessions.sessions import lock_sessions
from watchword.errors import Conflict, InvalidField

Lifetime = Annotated[int, Meta(ge=1, le=86400)]
Grants = Annotated[list[Grant], Meta(min_length=1, max_length=10)]


class ClientShown(msgspec.Struct, frozen=True):
    """A client. ``lifetime`` is of its access tokens, in seconds; null for the authority's default."""

    id: str
    name: str
    grants: list[str]
    audiences: list[str]
    scope: str
    lifetime: int | None
    roles: list[str]
    public: bool
    disabled: bool
    created_at: float


class ClientChanged(msgspec.Struct, frozen=True):
    """A client after a change. ``client_secret`` is shown this once."""

    client: ClientShown
    position: str
    client_secret: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"ClientChanged(client={self.client.id!r})"


class NewClient(Body, frozen=True):
    """A client to add. A public one (an app in the user's hands) has no secret and signs users in only."""

    id: ClientId
    grants: Grants
    audiences: AudienceNames
    name: DisplayName = ""
    scope: ScopeText = ""
    lifetime: Lifetime | None = None
    roles: RoleNames = msgspec.field(default_factory=list)
    public: bool = False


class ClientChange(Body, frozen=True):
    """What to change; what is left out stays."""

    name: DisplayName | UnsetType = UNSET
    grants: Grants | UnsetType = UNSET
    audiences: AudienceNames | UnsetType = UNSET
    scope: ScopeText | UnsetType = UNSET
    lifetime: Lifetime | UnsetType | None = UNSET
    roles: RoleNames | UnsetType = UNSET


async def list_clients(authority: Authority, call: Call[Paged]) -> PageOf[ClientShown]:
    """The clients, by id."""
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, select(clients.c.id), call.input, clients.c.id)
        found = [await known_client(connection, row["id"]) for row in rows]
    return PageOf([_shown(client) for client in found], following)


async def show_client(authority: Authority, call: Call[None]) -> ClientShown:
    """One client, by id."""
    async with authority.database.reading() as connection:
        return _shown(await known_client(connection, call.path("client")))


async def add_client(authority: Authority, call: Call[NewClient]) -> ClientChanged:
    """Add a client; the answer holds its secret, this once."""
    asked = call.input
    _check_grants(asked.grants, public=asked.public)
    _check_lifetime(authority, asked.lifetime)
    secret = None if asked.public else new_client_secret()
    async with authority.administering() as connection:
        # "operator" in the audit log is the operator.
        if asked.id == OPERATOR or await read_client(connection, asked.id) is not None:
            raise Conflict("a client of that id exists, or none may have it", field="id")
        row = {"id": asked.id, "name": asked.name, "grants": " ".join(sorted(set(asked.grants)))}
        more = {
            "scope": asked.scope,
            "lifetime": asked.lifetime,
            "secret_hash": hash_secret(secret) if secret else None,
        }
        at = await read_head(connection)
        # Nothing of a client that had this id before is this one's, not even a sign-in that is under way.
        await connection.execute(insert(clients).values(**row, **more, created_at=at.now, cutoff=at.number))
        await _write_audiences(connection, asked.id, asked.audiences)
        await _write_roles(connection, asked.id, asked.roles)
        return await client_changed(connection, call, "add_client", asked.id, secret)


async def change_client(authority: Authority, call: Call[ClientChange]) -> ClientChanged:
    """Change a client; where it may do less than before or its roles change, its older tokens die."""
    asked = call.input
    async with authority.administering() as connection:
        before = await known_client(connection, call.path("client"))
        values = _new_values(authority, before, asked)
        if values:
            await connection.execute(update(clients).where(clients.c.id == before.id).values(**values))
        if asked.audiences is not UNSET:
            await _write_audiences(connection, before.id, asked.audiences)
        if asked.roles is not UNSET:
            await _write_roles(connection, before.id, asked.roles)
        after = await known_client(connection, before.id)
        if before.grants - after.grants or before.audiences - after.audiences or before.scopes - after.scopes:
            await cut_access_of_client(connection, before.id)
        elif before.roles != after.roles:
            await cut_access_of_user(connection, before.id)
        changes = " ".join(name for name in ClientChange.__struct_fields__ if getattr(asked, name) is not UNSET)
        return await client_changed(connection, call, "change_client", before.id, detail=changes)


async def delete_client(authority: Authority, call: Call[None]) -> Changed:
    """Delete a client: every session and token that it was given dies."""
    async with authority.administering() as connection:
        client = await known_client(connection, call.path("client"))
        check_not_own(client)
        await lock_row(connection, clients, client.id, whole=True)
        await lock_sessions(connection, sessions.c.client == client.id)
        await connection.execute(delete(clients).where(clients.c.id == client.id))
        await cut_client(connection, client.id)
        return Changed(await note(connection, call, "delete_client", client.id))


def check_not_own(client: Client) -> None:
    """`Conflict` for the client that administrators themselves sign in with."""
    if client.id == OWN_CLIENT:
        raise Conflict("the authority's own client stays as it is")


async def client_changed(
    connection: AsyncConnection,
    call: Call[Any],
    action: str,
    identifier: str,
    secret: str | None = None,
    detail: str = "",
) -> ClientChanged:
    """Write the change's audit line; the client as the transaction leaves it."""
    position = await note(connection, call, action, identifier, detail)
    return ClientChanged(_shown(await known_client(connection, identifier)), position, secret or UNSET)


def _new_values(authority: Authority, client: Client, asked: ClientChange) -> dict[str, Any]:
    if asked.grants is not UNSET or asked.audiences is not UNSET:
        check_not_own(client)
    values: dict[str, Any] = {}
    if asked.grants is not UNSET:
        _check_grants(asked.grants, public=client.public)
        values["grants"] = " ".join(sorted(set(asked.grants)))
    if asked.lifetime is not UNSET:
        _check_lifetime(authority, asked.lifetime)
        values["lifetime"] = asked.lifetime
    plain = {"name": asked.name, "scope": asked.scope}
    return values | {name: value for name, value in plain.items() if value is not UNSET}


def _check_grants(grants: list[Grant], *, public: bool) -> None:
    # Anybody can name a public client, so what needs no user would be anybody's.
    if public and set(grants) != {Grant.LOGIN}:
        reason = "a public client signs users in and nothing else"
        raise InvalidField(reason, field="grants", reason=reason)


def _check_lifetime(authority: Authority, lifetime: int | None) -> None:
    longest = authority.settings.max_lifetime
    if lifetime is not None and lifetime > longest:
        reason = f"no token lives longer than {longest} seconds (the setting max_lifetime)"
        raise InvalidField(reason, field="lifetime", reason=reason)


async def _write_audiences(connection: AsyncConnection, client: str, names: list[str]) -> None:
    named = await check_audiences(connection, names)
    await connection.execute(delete(client_audiences).where(client_audiences.c.client == client))
    for name in named:
        await connection.execute(insert(client_audiences).values(client=client, audience=name))


async def _write_roles(connection: AsyncConnection, client: str, names: list[str]) -> None:
    held = await check_roles(connection, names)
    await connection.execute(delete(client_roles).where(client_roles.c.client == client))
    for name in held:
        await connection.execute(insert(client_roles).values(client=client, role=name))


def _shown(client: Client) -> ClientShown:
    return ClientShown(
        client.id,
        client.name,
        sorted(client.grants),
        sorted(client.audiences),
        " ".join(sorted(client.scopes)),
        client.lifetime,
        sorted(client.roles),
        client.public,
        client.disabled,
        client.created_at,
    )
