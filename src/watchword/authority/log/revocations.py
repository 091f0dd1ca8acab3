"""Revocation by an administrator, of any scope, and the cutoffs that are in force."""

from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import select

from watchword.authority.authority import Authority
from watchword.authority.changes import Changed
from watchword.authority.http import Body, Call
from watchword.authority.log.head import read_head
from watchword.authority.log.revoker import Wanted
from watchword.authority.names import PLAIN
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import entries
from watchword.core.cutoffs import Scope
from watchword.core.feed import FOREIGN, KEYS
from watchword.errors import InvalidField


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
    id: Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN)] | None = None


async def list_revocations(authority: Authority, call: Call[Paged]) -> PageOf[CutoffShown]:
    """The cutoffs in force, the newest first: the older ones concern no token that could still live."""
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        query = select(entries).where(entries.c.position > at.floor, entries.c.scope.not_in((KEYS, FOREIGN)))
        rows, following = await read_page(connection, query, call.input, entries.c.position, newest_first=True)
    items = [CutoffShown(row["position"], row["at"], row["scope"], row["id"], row["reason"]) for row in rows]
    return PageOf(items, following)


async def revoke(authority: Authority, call: Call[Revocation]) -> Changed:
    """Revoke everything of a user, client, session or role, one token, or everything there is."""
    scope, identifier = call.input.scope, call.input.id
    check_named(scope, identifier)
    wanted = Wanted(scope, identifier or "", call.caller.subject, call.address, detail=scope.value)
    return Changed(str(await authority.revoker.revoke(wanted)))


def check_named(scope: Scope, identifier: str | None) -> None:
    """`InvalidField` for an id with everyone, and for any other scope without one."""
    if (scope is Scope.EVERYONE) is not (identifier is None):
        reason = "everyone has no id" if identifier else "the field is missing"
        raise InvalidField(reason, field="id", reason=reason)
