"""The authority at a glance."""

from typing import Any

import msgspec
from sqlalchemy import FromClause, Select, func, select

from watchword.authority.authority import Authority
from watchword.authority.http import Call
from watchword.authority.log.head import read_head
from watchword.authority.schema import clients, entries, foreign_cutoffs, keys, users
from watchword.authority.sessions.living import living
from watchword.core.feed import FOREIGN, KEYS


class Status(msgspec.Struct, frozen=True):
    """Where the log is, and how much there is: living sessions, cutoffs in force, keys that verify.

    ``alarm`` says why the feed is closed, null where it is open.
    """

    issuer: str
    instance: str
    position: str
    floor: int
    alarm: str | None
    users: int
    clients: int
    sessions: int
    cutoffs: int
    foreign_cutoffs: int
    keys: int


async def status(authority: Authority, call: Call[None]) -> Status:  # noqa: ARG001
    """The authority at a glance."""
    async with authority.database.reading() as connection:

        async def count(what: FromClause | Select[Any]) -> int:
            table = what.subquery() if isinstance(what, Select) else what
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())

        at = await read_head(connection)
        return Status(
            issuer=authority.settings.issuer,
            instance=at.instance,
            position=str(at.position),
            floor=at.floor,
            alarm=at.alarm,
            users=await count(users),
            clients=await count(clients),
            sessions=await count(living(at, authority.settings)),
            cutoffs=await count(
                select(entries).where(entries.c.position > at.floor, entries.c.scope.not_in((KEYS, FOREIGN)))
            ),
            foreign_cutoffs=await count(select(foreign_cutoffs).where(foreign_cutoffs.c.before > at.foreign_floor)),
            keys=await count(select(keys.c.kid).where(keys.c.state != "withdrawn")),
        )
