"""Pages of the log, read in one snapshot, and the cursors that name places in it."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from sqlalchemy import BigInteger, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Database
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.keys.keyring import page_keys
from watchword.authority.log.foreign import foreign_entries, living_foreign
from watchword.authority.log.head import BORN_STEP, HEAD, Head, head_of
from watchword.authority.schema import entries, head
from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode
from watchword.core.feed import FOREIGN, KEYS, Page, PageEntry, PageKey
from watchword.errors import HistoryLost

PAGE_ENTRIES: Final = 1000
_MAC = 16


class Lost(HistoryLost):
    """History is found to be lost in this epoch of the database.

    ``born`` is when the epoch began that a guard has seen instead, in seconds since 1970: the next one must be later.
    """

    def __init__(self, epoch: str, why: str, born: float = 0.0) -> None:
        super().__init__(why)
        self.epoch = epoch
        self.born = born


class Moved(Lost):
    """Another database server answers than the one that the log was written on; who knows what was lost."""

    def __init__(self, at: Head) -> None:
        super().__init__(at.epoch, f"{_moved_from(at)}{at.witness} now")
        self.before = at.identity
        self.now = at.witness

    @property
    def promoted(self) -> bool:
        """Whether it is the same cluster on another timeline: a standby that took over, or a restored backup."""
        return self.before.partition("/")[0] == self.now.partition("/")[0]


def is_for_a_move(at: Head) -> bool:
    """Whether the alarm that stands was sounded for another server's sake alone, be it the one before this one."""
    return at.alarm is not None and at.alarm.startswith(_moved_from(at))


class Cursor(NamedTuple):
    """A place in one history of one instance, proven by the random mark of the entry there."""

    instance: str
    epoch: str
    born: float
    number: int
    mark: str

    @classmethod
    def open(cls, text: str, key: bytes) -> Self | None:
        """Read a cursor that we handed out; None for anything else, which earns a snapshot."""
        try:
            data = b64url_decode(text.encode())
        except (NotStrict, UnicodeEncodeError):
            return None
        body, mac = data[:-_MAC], data[-_MAC:]
        if not hmac.compare_digest(mac, _mac(body, key)):
            return None
        instance, epoch, born, number, mark = body.decode().split("|")
        return cls(instance, epoch, float(born), int(number), mark)

    def seal(self, key: bytes) -> str:
        """The cursor as we hand it out: opaque, and good for nothing if it is changed."""
        body = f"{self.instance}|{self.epoch}|{self.born!r}|{self.number}|{self.mark}".encode()
        return b64url_encode(body + _mac(body, key))


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


async def sound_alarm(connection: AsyncConnection, epoch: str, why: str, born: float = 0.0) -> None:
    """Close the feed until the operator recovers; nothing if that epoch is over, since then it has been.

    ``born`` is of the later epoch that a guard has seen: from here on ours counts as later, and the next one begins
    after that, whatever the clock says. Such a guard is heard also while an alarm stands already.
    """
    later = born + BORN_STEP
    news = or_(head.c.alarm.is_(None), head.c.born < later)
    values = {"alarm": why, "born": case((head.c.born < later, later), else_=head.c.born)}
    await connection.execute(update(head).where(head.c.epoch == epoch, news).values(values))


async def adopt(connection: AsyncConnection, moved: Moved) -> None:
    """Go on with the log on the server that it has moved to; nothing if somebody has decided otherwise since."""
    here = head.c.epoch == moved.epoch, head.c.identity == moved.before
    await connection.execute(update(head).where(*here).values(identity=moved.now))


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


def _moved_from(at: Head) -> str:
    return f"the database was on {at.identity} and is on "


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"cursor\0" + body, hashlib.sha256)[:_MAC]
