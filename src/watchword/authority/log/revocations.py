"""Revocation by an administrator, of any scope, and the cutoffs that are in force."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import known_user
from watchword.authority.accounts.roles import known_role
from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.clients.registry import known_client
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_client, cut_everyone, cut_role, cut_session, cut_token, cut_user
from watchword.authority.log.head import read_head
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import entries
from watchword.authority.sessions.sessions import read_session
from watchword.core.cutoffs import Scope
from watchword.core.feed import KEYS
from watchword.errors import InvalidField, NotFound


class CutoffShown(msgspec.Struct, frozen=True):
    """No token of this scope and id that was minted before ``number`` stands. ``at`` is in seconds since 1970."""

    number: int
    at: float
    scope: str
    id: str
    reason: str


class Revocation(Body, frozen=True):
    """Whose tokens shall die. For ``everyone`` there is no id."""

    scope: Scope
    id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


async def list_revocations(authority: Authority, call: Call[Paged]) -> PageOf[CutoffShown]:
    """The cutoffs in force, the newest first: the older ones concern no token that could still live."""
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        query = select(entries).where(entries.c.position > at.floor, entries.c.scope != KEYS)
        rows, following = await read_page(connection, query, call.input, entries.c.position, newest_first=True)
    items = [CutoffShown(row["position"], row["at"], row["scope"], row["id"], row["reason"]) for row in rows]
    return PageOf(items, following)


async def revoke(authority: Authority, call: Call[Revocation]) -> Changed:
    """Revoke everything of a user, client, session or role, one token, or everything there is."""
    scope, identifier = call.input.scope, call.input.id
    if (scope is Scope.EVERYONE) is not (identifier is None):
        reason = "everyone has no id" if identifier else "the field is missing"
        raise InvalidField(reason, field="id", reason=reason)
    async with authority.changing() as connection:
        await _CUTS[scope](connection, identifier or "")
        return Changed(await note(connection, call, "revoke", identifier or "", scope.value))


async def _everyone(connection: AsyncConnection, _: str) -> None:
    await cut_everyone(connection)


async def _client(connection: AsyncConnection, identifier: str) -> None:
    await known_client(connection, identifier)
    await cut_client(connection, identifier)


async def _role(connection: AsyncConnection, name: str) -> None:
    await known_role(connection, name)
    await cut_role(connection, name)


async def _user(connection: AsyncConnection, identifier: str) -> None:
    await known_user(connection, identifier)
    await cut_user(connection, identifier, "signed_out")


async def _session(connection: AsyncConnection, identifier: str) -> None:
    if await read_session(connection, identifier) is None:
        raise NotFound("no session of that id")
    await cut_session(connection, identifier)


async def _token(connection: AsyncConnection, token_id: str) -> None:
    await cut_token(connection, token_id)  # the authority keeps no list of tokens: any id may be one


_CUTS: Final[Mapping[Scope, Callable[[AsyncConnection, str], Awaitable[None]]]] = MappingProxyType(
    {
        Scope.EVERYONE: _everyone,
        Scope.CLIENT: _client,
        Scope.ROLE: _role,
        Scope.USER: _user,
        Scope.SESSION: _session,
        Scope.TOKEN: _token,
    }
)
