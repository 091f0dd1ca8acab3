"""Cutoffs for tokens of other issuers: their rows, their entries in the log, and how they are forgotten.

An entry of the log tells the guards that there is one; the row says what it is, and outlives the entry, since tokens of
other issuers may live for longer than ours.
"""

import logging
import math
from collections.abc import Sequence
from typing import Final

from sqlalchemy import RowMapping, delete, func, insert, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Now
from watchword.authority.log.head import Entry, append_all, read_head
from watchword.authority.schema import audit, entries, foreign_cutoffs, head
from watchword.core.cutoffs import Position
from watchword.core.feed import FOREIGN, PageEntry, PageForeign
from watchword.core.foreign import ForeignCutoff
from watchword.core.verifier import MAX_LEEWAY

MOST_FOREIGN: Final = 100_000
"""How many cutoffs are kept: each guard holds them all. Where there are more, the floor rises above the oldest."""
MOST_CHARACTERS: Final = 8 * 1024 * 1024
"""How long their issuers and ids may be, all in all: as UTF-8 half of what a guard reads of a snapshot, at worst."""
AHEAD_SECONDS: Final = int(MAX_LEEWAY.total_seconds())
"""How far ahead of the database's clock a ``before`` may lie: as far as a guard lets an issuer's clock be ahead."""
_log: Final = logging.getLogger("watchword.authority")


def latest_second(now: float) -> int:
    """The second up to which everything was issued that was issued by now: ``iat`` may have fractions."""
    return math.ceil(now)


async def append_foreign(connection: AsyncConnection, cutoffs: Sequence[ForeignCutoff]) -> Position:
    """Write cutoffs in the running transaction; where the log stands after them. Take no lock after it."""
    after = await append_all(connection, [Entry(FOREIGN, cutoff.id, cutoff.reason) for cutoff in cutoffs])
    rows = [
        {
            "position": number,
            "issuer": cutoff.issuer,
            "scope": cutoff.scope.value,
            "id": cutoff.id,
            "before": cutoff.before,
            "reason": cutoff.reason,
        }
        for number, cutoff in enumerate(cutoffs, after.number - len(cutoffs) + 1)
    ]
    await connection.execute(insert(foreign_cutoffs), rows)
    return after


async def foreign_entries(connection: AsyncConnection, after: int, number: int) -> dict[int, PageEntry]:
    """What the entries of that scope after one place and up to another are to a guard, by their numbers."""
    query = select(foreign_cutoffs).where(foreign_cutoffs.c.position.between(after + 1, number))
    return {row["position"]: _entry(row) for row in (await connection.execute(query)).mappings()}


async def living_foreign(connection: AsyncConnection, floor: int) -> list[PageEntry]:
    """All cutoffs above the floor, for a snapshot, but for those that a later one of the same name covers."""
    columns = foreign_cutoffs.c
    query = select(foreign_cutoffs).where(columns.before > floor).order_by(columns.before, columns.position)
    rows = (await connection.execute(query)).mappings()
    latest = {(row["issuer"], row["scope"], row["id"]): row for row in rows}
    return [_entry(row) for row in latest.values()]


async def raise_foreign_floor(connection: AsyncConnection, lifetime: float, margin: float) -> int | None:
    """Forget the cutoffs whose tokens have all expired: the new floor in seconds, or None if it stays where it is.

    The floor itself refuses what the forgotten cutoffs would have, and more: so it lets nothing through, whatever the
    clocks say and however long tokens live. It never rises above the ``before`` of a cutoff that there was, so that a
    clock that is set far ahead does not shut out what is issued from now on.
    """
    at, columns = await read_head(connection), foreign_cutoffs.c
    expired = select(func.max(columns.before)).where(columns.before <= at.now - lifetime - margin)
    held = select(
        columns.before,
        func.count().over(order_by=columns.before.desc()).label("number"),
        func.sum(func.length(columns.issuer) + func.length(columns.id))
        .over(order_by=columns.before.desc())
        .label("characters"),
    )
    latest_first = held.where(columns.before > at.foreign_floor).subquery()
    beyond = or_(latest_first.c.number > MOST_FOREIGN, latest_first.c.characters > MOST_CHARACTERS)
    too_much = select(func.max(latest_first.c.before)).where(beyond)
    found = [(await connection.execute(query)).scalar_one() or 0 for query in (expired, too_much)]
    floor = max(found)
    if floor <= at.foreign_floor:
        return None
    if found[1] > found[0]:
        _log.warning("too many foreign cutoffs: tokens of other issuers from up to %d are refused", floor)
    await connection.execute(update(head).where(head.c.foreign_floor < floor).values(foreign_floor=floor))
    return floor


async def refuse_older_foreign(connection: AsyncConnection) -> int:
    """Refuse every token of another issuer that was issued up to now; the floor then, in seconds.

    For when history was lost: a cutoff that was lost with it concerned none that says it was issued later. Now is by
    the clock, or by the latest time that was written down, as the clock may be behind: so call it while all is there.
    """
    latest = select(func.max(entries.c.at)), select(func.max(audit.c.at)), select(head.c.born)  # the cutoffs' as well
    known = (await connection.execute(union_all(select(Now()), *latest))).scalars()
    floor = latest_second(max(at for at in known if at is not None)) + AHEAD_SECONDS
    await connection.execute(update(head).where(head.c.foreign_floor < floor).values(foreign_floor=floor))
    return (await read_head(connection)).foreign_floor


async def forget_foreign(connection: AsyncConnection) -> int:
    """Remove the cutoffs that the floor has made needless, unless a page may still name their entries; how many."""
    floor, foreign_floor = select(head.c.floor).scalar_subquery(), select(head.c.foreign_floor).scalar_subquery()
    needless = foreign_cutoffs.c.position <= floor, foreign_cutoffs.c.before <= foreign_floor
    return (await connection.execute(delete(foreign_cutoffs).where(*needless))).rowcount


def _entry(row: RowMapping) -> PageEntry:
    foreign = PageForeign(row["issuer"], row["scope"], row["before"])
    return PageEntry(row["position"], FOREIGN, row["id"], row["reason"], foreign)
