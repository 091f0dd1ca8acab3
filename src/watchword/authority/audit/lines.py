"""The audit log, as an administrator reads it."""

import msgspec
from sqlalchemy import select

from watchword.authority.authority import Authority
from watchword.authority.database import plain
from watchword.authority.http import Call
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import audit


class AuditLine(msgspec.Struct, frozen=True):
    """Who did what to whom, and how it ended. ``at`` is in seconds since 1970; ``actor`` and ``target`` are ids."""

    id: int
    at: float
    actor: str
    action: str
    target: str
    outcome: str
    address: str
    detail: str


class AuditQuery(Paged, frozen=True):
    """Which lines: of exactly that actor, action and target."""

    actor: str = ""
    action: str = ""
    target: str = ""


async def list_audit(authority: Authority, call: Call[AuditQuery]) -> PageOf[AuditLine]:
    """The audit log, the newest first."""
    asked, query = call.input, select(audit)
    for column in (audit.c.actor, audit.c.action, audit.c.target):
        if wanted := getattr(asked, column.name):
            query = query.where(column == wanted)
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, query, asked, audit.c.id, newest_first=True)
    return PageOf([AuditLine(**plain(row)) for row in rows], following)
