"""Revocation of other issuers' tokens by an administrator, and the cutoffs of that kind that are in force."""

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from sqlalchemy import select

from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.database import clock
from watchword.authority.http import Body, Call
from watchword.authority.log.foreign import AHEAD_SECONDS, append_foreign, latest_second
from watchword.authority.log.head import read_head
from watchword.authority.log.revocations import check_named
from watchword.authority.log.revoker import reason_of
from watchword.authority.names import PLAIN
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import foreign_cutoffs
from watchword.core.cutoffs import Scope
from watchword.core.foreign import ForeignCutoff
from watchword.errors import InvalidField


class ForeignCutoffShown(msgspec.Struct, frozen=True):
    """No token of this issuer, scope and id that was issued at ``before`` (seconds since 1970) or earlier stands."""

    number: int
    issuer: str
    scope: str
    id: str
    before: int
    reason: str


class ForeignRevocation(Body, frozen=True):
    """Which tokens of another issuer shall die. For ``everyone`` there is no id; ``before`` is now if left out."""

    issuer: Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN)]
    scope: Scope
    id: Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN)] | None = None
    before: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class ForeignRevoked(msgspec.Struct, frozen=True):
    """Tokens issued at ``before`` (seconds since 1970) or earlier are revoked. ``position`` is the log's, after it."""

    position: str
    before: int


async def list_foreign_revocations(authority: Authority, call: Call[Paged]) -> PageOf[ForeignCutoffShown]:
    """The cutoffs of other issuers' tokens, the newest first, but for those that are forgotten."""
    shown = [foreign_cutoffs.c[name] for name in ("position", "issuer", "scope", "id", "before", "reason")]
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        query = select(*shown).where(foreign_cutoffs.c.before > at.foreign_floor)
        rows, following = await read_page(connection, query, call.input, foreign_cutoffs.c.position, newest_first=True)
    return PageOf([ForeignCutoffShown(*row.values()) for row in rows], following)


async def revoke_foreign(authority: Authority, call: Call[ForeignRevocation]) -> ForeignRevoked:
    """Revoke what another issuer issued up to now, or an earlier second: of a user, client, session or role, one
    token, or everything of it.
    """
    asked = call.input
    check_named(asked.scope, asked.id)
    _check_issuer(asked.issuer, authority.settings.issuer)
    async with authority.changing() as connection:
        now = latest_second(await clock(connection))
        before = now if asked.before is None else asked.before
        if before > now + AHEAD_SECONDS:
            reason = "it lies in the future"
            raise InvalidField(reason, field="before", reason=reason)
        cutoff = ForeignCutoff(asked.issuer, asked.scope, asked.id or "", before, reason_of(asked.scope))
        detail = f"{cutoff.scope} of {cutoff.issuer}, issued up to {before}"
        who = {"actor": call.caller.subject, "target": cutoff.id or cutoff.issuer, "address": call.address}
        await record(connection, "revoke_foreign", **who, detail=detail)
        position = await append_foreign(connection, [cutoff])
    return ForeignRevoked(str(position), before)


def _check_issuer(issuer: str, own: str) -> None:
    """`InvalidField` for what is no issuer's name (RFC 8414 section 2), and for our own."""
    reason = "it is this authority: its own tokens are revoked by position" if issuer.rstrip("/") == own else ""
    try:
        parts = urlsplit(issuer)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            reason = "it is no http(s) address without query and fragment"
    except ValueError:
        reason = "it is no address"
    if reason:
        raise InvalidField(reason, field="issuer", reason=reason)
