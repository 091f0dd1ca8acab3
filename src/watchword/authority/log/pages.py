"""Pages of the log, each read in one snapshot."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from sqlalchemy import BigInteger, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Database
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.keys.keyring import page_keys
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.foreign import foreign_entries, living_foreign
from watchword.authority.log.head import HEAD, Head, head_of
from watchword.authority.log.lost import Lost, Moved
from watchword.authority.schema import entries, head
from watchword.core.feed import FOREIGN, KEYS, Page, PageEntry, PageKey
from watchword.errors import HistoryLost

PAGE_ENTRIES: Final = 1000


async def read_page(database: Database, issuer: str, after: Cursor | None, key: bytes) -> tuple[Head, Page]:
    """What came after a cursor, or a snapshot where there is none or it is too old to be continued; and the head then.

    Raises `HistoryLost` if the cursor names something that this log does not hold: it was handed out by a later state
    of this very database, so the database went back.
    """
    if after is not None:  # nearly always all that is needed is there in one statement, without a transaction
        at, news = _judged(await database.fetch(_CONTINUED, after=after.number), after)
        if news is not None and _ELSEWHERE.isdisjoint(row["entry_scope"] for row in news):
            return at, _page(issuer, at, after, news, key)
    async with database.reading() as connection:
        at, news = _judged(await _CONTINUED.rows(connection, after=after.number if after else _NO_ENTRY), after)
        if after is None or news is None:
            return at, await _snapshot(connection, issuer, at, key)
        scopes, last = {row["entry_scope"] for row in news}, news[-1]["entry_position"] if news else at.number
        foreign = await foreign_entries(connection, after.number, last) if FOREIGN in scopes else {}
        changed = await page_keys(connection, at.floor) if KEYS in scopes else None
        return at, _page(issuer, at, after, news, key, foreign=foreign, changed=changed)


_CONTINUED: Final = Prepared(
    select(*HEAD, *labelled("entry", entries))
    .select_from(head.outerjoin(entries, entries.c.position >= slot("after", BigInteger())))
    .order_by(entries.c.position)
    .limit(PAGE_ENTRIES + 1)
)
"""The head, and the entries from a place on, that place's own first, if it is kept still."""
_NO_ENTRY: Final = 2**62
_ELSEWHERE: Final = frozenset({KEYS, FOREIGN})  # what the entries of these scopes say is in other tables


def _judged(rows: Sequence[Row], after: Cursor | None) -> tuple[Head, Sequence[Row] | None]:
    """The head, and the entries after the cursor, or None where a snapshot is due; `HistoryLost`."""
    at = head_of(rows[0])
    if after is not None and after.instance != at.instance:
        after = None  # what it says is of another log
    if after is not None and after.epoch != at.epoch and after.born >= at.born:
        # Also under an alarm: the next epoch must be later than all that anybody has seen.
        raise Lost(at.epoch, "a guard has seen a later epoch", after.born)
    if at.alarm is not None:
        raise HistoryLost(at.alarm)
    if at.witness != at.identity:
        raise Moved(at)
    if after is None or after.epoch != at.epoch:
        return at, None
    kept = rows[0]["entry_position"] == after.number
    _check_history(at, after, rows[0]["entry_mark"] if kept else None)
    if after.number < at.floor:
        return at, None
    return at, [row for row in rows[kept:] if row["entry_position"] is not None][:PAGE_ENTRIES]


def _check_history(at: Head, after: Cursor, mark: str | None) -> None:
    """A cursor of this epoch names something that this database holds, with this mark if it is kept; else `Lost`."""
    if after.number > at.number:
        raise Lost(at.epoch, f"a guard has seen {after.number}, the log ends at {at.number}")
    if after.number == at.number:
        mark = at.mark
    if mark is not None and mark != after.mark:
        raise Lost(at.epoch, f"a guard has seen another entry {after.number}")


def _page(
    issuer: str,
    at: Head,
    after: Cursor,
    news: Sequence[Row],
    key: bytes,
    *,
    foreign: Mapping[int, PageEntry] = MappingProxyType({}),
    changed: list[PageKey] | None = None,
) -> Page:
    number, mark = (news[-1]["entry_position"], news[-1]["entry_mark"]) if news else (after.number, after.mark)
    return Page(
        issuer=issuer,
        instance=at.instance,
        epoch=at.epoch,
        after=after.number,
        number=number,
        head=at.number,
        floor=min(at.floor, number),
        entries=[
            foreign[row["entry_position"]]
            if row["entry_scope"] == FOREIGN
            else PageEntry(row["entry_position"], row["entry_scope"], row["entry_id"], row["entry_reason"])
            for row in news
        ],
        keys=changed,
        cursor=Cursor(at.instance, at.epoch, at.born, number, mark).seal(key),
        born=at.born,
        foreign_floor=at.foreign_floor,
    )


async def _snapshot(connection: AsyncConnection, issuer: str, at: Head, key: bytes) -> Page:
    living = entries.c.position > at.floor, entries.c.scope.not_in((KEYS, FOREIGN))
    latest = select(func.max(entries.c.position)).where(*living).group_by(entries.c.scope, entries.c.id)
    query = select(entries).where(entries.c.position.in_(latest)).order_by(entries.c.position)
    rows = (await connection.execute(query)).mappings().all()
    ours = [PageEntry(row["position"], row["scope"], row["id"], row["reason"]) for row in rows]
    return Page(
        issuer=issuer,
        instance=at.instance,
        epoch=at.epoch,
        after=None,
        number=at.number,
        head=at.number,
        floor=at.floor,
        entries=[*ours, *await living_foreign(connection, at.foreign_floor)],
        keys=await page_keys(connection, at.floor),
        cursor=Cursor(at.instance, at.epoch, at.born, at.number, at.mark).seal(key),
        born=at.born,
        foreign_floor=at.foreign_floor,
    )
