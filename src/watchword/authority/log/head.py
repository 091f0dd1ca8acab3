"""The head of the log: one row that gives every change its position.

The row is moved inside the transaction that makes the change and stays locked until that commits, so positions are
gapless and appear in commit order. It is the last lock that a transaction takes (client, user, session, head).
"""

import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Database, Now, is_shared
from watchword.authority.engines.engine import CHANNEL
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.log.witness import Witness
from watchword.authority.schema import entries, head
from watchword.core.cutoffs import Cutoff, Position, Scope
from watchword.errors import Unavailable

BORN_STEP: Final = 0.001
"""How much later than another epoch one is at least said to begin, in seconds."""


class Head(msgspec.Struct, frozen=True):
    """The head row as one snapshot saw it, with the database's clock in seconds since 1970.

    ``born`` is when the epoch began by that clock: of two epochs of an instance it tells the later.
    """

    instance: str
    epoch: str
    born: float
    number: int
    mark: str
    floor: int
    foreign_floor: int
    """Up to when tokens of other issuers are refused, in seconds since 1970."""
    cutoff: int
    lifetime: int
    alarm: str | None
    identity: str
    """The database server that this log was written on."""
    witness: str
    """The one that answers."""
    now: float

    @property
    def position(self) -> Position:
        """The position of every token that is minted from this snapshot."""
        return Position(self.epoch, self.number)

    @property
    def everyone(self) -> Cutoff | None:
        """The cutoff for everyone, as it stands for ever on this row."""
        return standing(self.cutoff, Scope.EVERYONE, "", "everything_expired")


def standing(number: int, scope: Scope, identifier: str, reason: str) -> Cutoff | None:
    """A cutoff as a row keeps it, where 0 is none."""
    return Cutoff(number, scope, identifier, reason) if number else None


HEAD: Final = (*labelled("head", head), Now().label("head_now"), Witness().label("head_witness"))
"""The columns that `head_of` makes a `Head` of."""
_READ: Final = Prepared(select(*HEAD))


async def look_at_head(database: Database) -> Head:
    """The head as it is now, in a snapshot of its own."""
    (row,) = await database.fetch(_READ)
    return head_of(row)


async def read_head(connection: AsyncConnection) -> Head:
    """Read the head and the clock in the connection's snapshot; `Unavailable` where a standby answers."""
    return head_of(await _READ.row(connection))


def head_of(row: Row) -> Head:
    """The head from a row with its columns; `Unavailable` if a standby gave it: that knows only what was."""
    if row["head_witness"] is None:
        raise Unavailable("a standby of the database answers", retry_after=1)
    return Head(
        row["head_instance"],
        row["head_epoch"],
        row["head_born"],
        row["head_position"],
        row["head_mark"],
        row["head_floor"],
        row["head_foreign_floor"],
        row["head_cutoff"],
        row["head_lifetime"],
        row["head_alarm"],
        row["head_identity"],
        row["head_witness"],
        row["head_now"],
    )


async def begin_log(connection: AsyncConnection, issuer: str, lifetime: int) -> None:
    """Make the head row of a new authority: a new instance, in a new epoch."""
    await connection.execute(
        insert(head).values(
            id=1,
            issuer=issuer,
            instance=new_id(),
            epoch=new_id(),
            born=Now(),
            position=0,
            mark=new_id(),
            floor=0,
            cutoff=0,
            lifetime=lifetime,
            identity=Witness(),
        )
    )


class Entry(NamedTuple):
    """What one entry of the log says."""

    scope: str
    id: str
    reason: str


async def append(connection: AsyncConnection, scope: str, identifier: str, reason: str) -> int:
    """Write one entry in the running transaction and give its number.

    From here on everybody who appends waits for this transaction: take no other lock after it.
    """
    return (await append_all(connection, [Entry(scope, identifier, reason)])).number


async def append_all(connection: AsyncConnection, news: Sequence[Entry]) -> Position:
    """Write several entries, in this order; where the last one is."""
    marks = [new_id() for _ in news]
    if is_shared(connection):
        lists = {f"{name}s": [getattr(entry, name) for entry in news] for name in Entry._fields}
        row = await _APPEND.row(connection, many=len(news), mark_of_last=marks[-1], marks=marks, **lists)
        return Position(row["epoch"], row["position"])
    row = await _MOVE.row(connection, many=len(news), mark_of_last=marks[-1])
    last = Position(row["epoch"], row["position"])
    numbered = zip(range(last.number - len(news) + 1, last.number + 1), marks, news, strict=True)
    await _WRITE.run_all(
        connection, [{"number": number, "mark": mark, **entry._asdict()} for number, mark, entry in numbered]
    )
    return last


_MOVE: Final = Prepared(
    update(head)
    .values(position=head.c.position + slot("many", BigInteger()), mark=slot("mark_of_last"))
    .returning(head.c.epoch, head.c.position)
)
_WRITE: Final = Prepared(
    insert(entries).values(
        position=slot("number", BigInteger()),
        mark=slot("mark"),
        at=Now(),
        scope=slot("scope"),
        id=slot("id"),
        reason=slot("reason"),
    )
)


def _append() -> Prepared:
    """On PostgreSQL one statement, as others wait for the head's row until the commit; with that they are notified."""
    many, texts = slot("many", BigInteger()), ARRAY(Text())
    moved = update(head).values(position=head.c.position + many, mark=slot("mark_of_last"))
    at = moved.returning(head.c.epoch, head.c.position).cte("moved")
    lists = [slot(name, texts) for name in ("marks", "scopes", "ids", "reasons")]
    columns = func.unnest(*lists).table_valued("mark", "scope", "id", "reason", with_ordinality="place")
    news = columns.render_derived(name="news")
    values = (at.c.position - many + news.c.place, news.c.mark, Now(), news.c.scope, news.c.id, news.c.reason)
    rows = select(*values).select_from(at.join(news, true()))
    written = insert(entries).from_select(["position", "mark", "at", "scope", "id", "reason"], rows).cte("written")
    return Prepared(select(at.c.epoch, at.c.position, func.pg_notify(CHANNEL, "").label("notified")).add_cte(written))


_APPEND: Final = _append()


async def raise_floor(connection: AsyncConnection, margin: float) -> int | None:
    """Forget the cutoffs whose tokens have all expired: the new floor, or None if it stays where it is.

    A token minted before an entry was issued before that entry was written, by the same clock; so once the longest
    lifetime in force and ``margin`` seconds (leeway, and the time of a transaction) have passed, none can be alive.
    """
    now = await read_head(connection)
    latest = select(func.max(entries.c.position)).where(entries.c.at < now.now - now.lifetime - margin)
    floor = (await connection.execute(latest)).scalar_one()
    if floor is None or floor <= now.floor:
        return None
    await connection.execute(update(head).where(head.c.floor < floor).values(floor=floor))
    return int(floor)


async def forget_below_floor(connection: AsyncConnection) -> int:
    """Remove the entries that the floor has made needless; how many. It needs no lock that a change would wait for.

    The entry at the floor itself stays: cursors that stand there are proven by its mark.
    """
    floor = select(head.c.floor).scalar_subquery()
    return (await connection.execute(entries.delete().where(entries.c.position < floor))).rowcount


async def new_epoch(connection: AsyncConnection, *, clone: bool = False, epoch: str | None = None) -> Position:
    """Begin a new history after one was lost: every older token, session and cursor is void.

    ``clone`` gives a new instance as well, so that a copy of the database cannot be taken for the original.
    """
    before = await read_head(connection)
    number, epoch = before.number + 1, epoch or new_id()
    born = max(before.now, before.born + BORN_STEP)  # whatever the clock was set to since
    values = {"epoch": epoch, "born": born, "position": number, "mark": new_id(), "floor": number, "alarm": None}
    here = {"identity": before.witness} | ({"instance": new_id()} if clone else {})
    await connection.execute(update(head).values(**values, **here))
    await connection.execute(entries.delete())
    return Position(epoch, number)


def new_id() -> str:
    """A random name of 96 bits, 16 characters."""
    return secrets.token_urlsafe(12)
