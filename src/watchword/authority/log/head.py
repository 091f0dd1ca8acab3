"""The head of the log: one row that gives every change its position.

The row is moved inside the transaction that makes the change and stays locked until that commits, so positions are
gapless and appear in commit order. It is the last lock that a transaction takes (client, user, session, head).
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import clock
from watchword.authority.schema import entries, head
from watchword.core.cutoffs import Cutoff, Position, Scope


@dataclass(frozen=True, slots=True)
class Head:
    """The head row as one snapshot saw it, with the database's clock in seconds since 1970.

    ``born`` is when the epoch began by that clock: of two epochs of an instance it tells the later.
    """

    instance: str
    epoch: str
    born: float
    number: int
    mark: str
    floor: int
    cutoff: int
    lifetime: int
    alarm: str | None
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


async def read_head(connection: AsyncConnection) -> Head:
    """Read the head and the clock in the connection's snapshot."""
    row = (await connection.execute(select(head))).mappings().one()
    return Head(
        row["instance"],
        row["epoch"],
        row["born"],
        row["position"],
        row["mark"],
        row["floor"],
        row["cutoff"],
        row["lifetime"],
        row["alarm"],
        await clock(connection),
    )


async def begin_log(connection: AsyncConnection, issuer: str, lifetime: int) -> None:
    """Make the head row of a new authority: a new instance, in a new epoch."""
    await connection.execute(
        insert(head).values(
            id=1,
            issuer=issuer,
            instance=new_id(),
            epoch=new_id(),
            born=await clock(connection),
            position=0,
            mark=new_id(),
            floor=0,
            cutoff=0,
            lifetime=lifetime,
        )
    )


async def append(connection: AsyncConnection, scope: str, identifier: str, reason: str) -> int:
    """Write one entry in the running transaction and give its number."""
    mark = new_id()
    moved = update(head).values(position=head.c.position + 1, mark=mark).returning(head.c.position)
    number = int((await connection.execute(moved)).scalar_one())
    await connection.execute(
        insert(entries).values(
            position=number, mark=mark, at=await clock(connection), scope=scope, id=identifier, reason=reason
        )
    )
    return number


async def raise_floor(connection: AsyncConnection, margin: float) -> int:
    """Forget the cutoffs whose tokens have all expired; how many entries went.

    A token minted before an entry was issued before that entry was written, by the same clock; so once the longest
    lifetime in force and ``margin`` seconds (leeway, and the time of a transaction) have passed, none can be alive.
    """
    now = await read_head(connection)
    latest = select(func.max(entries.c.position)).where(entries.c.at < now.now - now.lifetime - margin)
    floor = (await connection.execute(latest)).scalar_one()
    if floor is None or floor <= now.floor:
        return 0
    await connection.execute(update(head).values(floor=floor))
    # The entry at the floor itself stays: cursors that stand there are proven by its mark.
    gone = await connection.execute(entries.delete().where(entries.c.position < floor))
    return gone.rowcount


async def new_epoch(connection: AsyncConnection, *, clone: bool = False) -> Position:
    """Begin a new history after one was lost: every older token, session and cursor is void.

    ``clone`` gives a new instance as well, so that a copy of the database cannot be taken for the original.
    """
    before = await read_head(connection)
    number, epoch = before.number + 1, new_id()
    born = max(before.now, before.born + 0.001)  # whatever the clock was set to since
    values = {"epoch": epoch, "born": born, "position": number, "mark": new_id(), "floor": number, "alarm": None}
    await connection.execute(entries.delete())
    await connection.execute(update(head).values(**values, **({"instance": new_id()} if clone else {})))
    return Position(epoch, number)


def new_id() -> str:
    """A random name of 96 bits, 16 characters."""
    return secrets.token_urlsafe(12)
