"""How every administrator's change ends: one line in the audit log, and the log's position for the answer."""

from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.audit.record import record
from watchword.authority.http import Call
from watchword.authority.log.head import read_head


class Changed(msgspec.Struct, frozen=True):
    """The answer to a change that has nothing else to show. ``position`` is the log's, after it."""

    position: str


async def note(connection: AsyncConnection, call: Call[Any], action: str, target: str = "", detail: str = "") -> str:
    """Write the change's audit line in its transaction; the position of the log as it is now."""
    await record(connection, action, actor=call.caller.subject, target=target, address=call.address, detail=detail)
    return str((await read_head(connection)).position)
