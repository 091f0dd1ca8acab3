"""The audit log: who did what to whom, and how it ended, in the same transaction as the change."""

import logging
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import clock, plain
from watchword.authority.http import Call
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import audit

if TYPE_CHECKING:
    from watchword.authority.authority import Authority

_log: Final = logging.getLogger("watchword.audit")


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


async def list_audit(authority: "Authority", call: Call[AuditQuery]) -> PageOf[AuditLine]:
    """The audit log, the newest first."""
    asked, query = call.input, select(audit)
    for column in (audit.c.actor, audit.c.action, audit.c.target):
        if wanted := getattr(asked, column.name):
            query = query.where(column == wanted)
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, query, asked, audit.c.id, newest_first=True)
    return PageOf([AuditLine(**plain(row)) for row in rows], following)


async def record(
    connection: AsyncConnection,
    action: str,
    *,
    actor: str,
    target: str = "",
    outcome: str = "done",
    address: str = "",
    detail: str = "",
) -> None:
    """Write one line; never a password, a token or a secret."""
    values = {
        "actor": actor,
        "action": action,
        "target": target,
        "outcome": outcome,
        "address": address,
        "detail": detail[:500],
    }
    await connection.execute(insert(audit).values(at=await clock(connection), **values))
    _log.info("%s by %s on %s: %s", action, actor, target or "-", outcome, extra={"audit": values})
