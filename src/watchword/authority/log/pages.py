"""Pages of the log, read in one snapshot, and the cursors that name places in it."""

import hashlib
import hmac
from typing import Final, NamedTuple, Self

from sqlalchemy import case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.keys.keyring import page_keys
from watchword.authority.log.foreign import foreign_entries, living_foreign
from watchword.authority.log.head import BORN_STEP, Head, read_head
from watchword.authority.schema import entries, head
from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode
from watchword.core.feed import FOREIGN, KEYS, Page, PageEntry
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


async def read_page(
    connection: AsyncConnection, issuer: str, after: Cursor | None, key: bytes, *, at: Head | None = None
) -> Page:
    """What came after a cursor, or a snapshot where there is none or it is too old to be continued.

    Raises `HistoryLost` if the cursor names something that this log does not hold: it was handed out by a later state
    of this very database, so the database went back. ``at`` is the head, if the same snapshot has read it already.
    """
    at = at or await read_head(connection)
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
        return await _snapshot(connection, issuer, at, key)
    await _check_history(connection, at, after)
    if after.number < at.floor:
        return await _snapshot(connection, issuer, at, key)
    query = select(entries).where(entries.c.position > after.number).order_by(entries.c.position).limit(PAGE_ENTRIES)
    rows = (await connection.execute(query)).mappings().all()
    number, mark = (rows[-1]["position"], rows[-1]["mark"]) if rows else (after.number, after.mark)
    scopes = {row["scope"] for row in rows}
    foreign = await foreign_entries(connection, after.number, number) if FOREIGN in scopes else {}
    return Page(
        issuer=issuer,
        instance=at.instance,
        epoch=at.epoch,
        after=after.number,
        number=number,
        head=at.number,
        floor=min(at.floor, number),
        entries=[
            foreign[row["position"]]
            if row["scope"] == FOREIGN
            else PageEntry(row["position"], row["scope"], row["id"], row["reason"])
            for row in rows
        ],
        keys=await page_keys(connection, at.floor) if KEYS in scopes else None,
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


async def _check_history(connection: AsyncConnection, at: Head, after: Cursor) -> None:
    """A cursor of this epoch names something that this database holds; else `Lost`."""
    if after.number > at.number:
        raise Lost(at.epoch, f"a guard has seen {after.number}, the log ends at {at.number}")
    mark: str | None = at.mark
    if after.number < at.number:
        query = select(entries.c.mark).where(entries.c.position == after.number)
        mark = (await connection.execute(query)).scalar_one_or_none()
    if mark is not None and mark != after.mark:
        raise Lost(at.epoch, f"a guard has seen another entry {after.number}")


def _moved_from(at: Head) -> str:
    return f"the database was on {at.identity} and is on "


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"cursor\0" + body, hashlib.sha256)[:_MAC]
