"""Lost history: how it is named, and how the feed closes or goes on."""

from sqlalchemy import case, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.log.head import BORN_STEP, Head
from watchword.authority.schema import head
from watchword.errors import HistoryLost


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


async def sound_alarm(connection: AsyncConnection, lost: Lost) -> bool:
    """Close the feed until the operator recovers; whether it is closed by this.

    Not if that epoch is over, or the log was taken to another server since: what was found has been answered then. A
    guard that has seen a later epoch is heard also while an alarm stands already: from here on ours counts as later,
    and the next one begins after that, whatever the clock says.
    """
    later = lost.born + BORN_STEP
    still = [head.c.epoch == lost.epoch, or_(head.c.alarm.is_(None), head.c.born < later)]
    if isinstance(lost, Moved):
        still.append(head.c.identity == lost.before)
    values = {"alarm": lost.detail, "born": case((head.c.born < later, later), else_=head.c.born)}
    return (await connection.execute(update(head).where(*still).values(values))).rowcount > 0


async def adopt(connection: AsyncConnection, moved: Moved) -> None:
    """Go on with the log on the server that it has moved to; nothing if somebody has decided otherwise since."""
    here = head.c.epoch == moved.epoch, head.c.identity == moved.before
    await connection.execute(update(head).where(*here).values(identity=moved.now))


def _moved_from(at: Head) -> str:
    return f"the database was on {at.identity} and is on "
