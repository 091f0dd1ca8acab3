"""Recovery after history was lost: a restored backup, a failover, a copied database."""

from typing import Final, NamedTuple

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.keys.rotation import withdraw_all
from watchword.authority.log.foreign import refuse_older_foreign
from watchword.authority.log.head import new_epoch, new_id, read_head
from watchword.authority.log.lost import is_for_a_move
from watchword.authority.operator import OPERATOR
from watchword.authority.schema import head
from watchword.authority.sessions.sessions import carry_over
from watchword.core.cutoffs import Position
from watchword.core.keys import Key
from watchword.errors import HistoryLost

ACTION: Final = "recover"
BY_ITSELF: Final = "auto_recover"
"""The actor in the audit log where no operator was asked."""


class Recovered(NamedTuple):
    """Where the new history begins; and up to when (seconds since 1970) tokens of other issuers are refused."""

    position: Position
    foreign_floor: int


async def recover(authority: Authority, *, clone: bool = False) -> Recovered:
    """Begin a new epoch, and with it open the feed again.

    Every older token and cursor is void, and every session unless the settings let them survive. Every signing key is
    withdrawn too: what was lost may have been a key's withdrawal, and a copy of a database must not sign for the
    original. Nor does a token stand that another issuer has issued by now: what was lost may have been its cutoff.
    ``clone`` makes a new instance besides, so that guards never take the copy for the original; of a copy no session
    survives.
    """
    current, following = await authority.keyring.generate(), await authority.keyring.generate()
    async with authority.administering() as connection:
        return await _recover(authority, connection, current, following, actor=OPERATOR, clone=clone)


async def recover_by_itself(authority: Authority) -> Recovered | None:
    """`recover` if an alarm stands, as the setting ``auto_recover`` wants it; None if none stands.

    Of several replicas that find the same alarm one recovers: the others then find none.
    """
    current, following = await authority.keyring.generate(), await authority.keyring.generate()
    async with authority.administering() as connection:
        if (await read_head(connection)).alarm is None:
            return None
        return await _recover(authority, connection, current, following, actor=BY_ITSELF)


async def keep_history(authority: Authority) -> Position:
    """Go on with the same epoch on the database server that answers now: nothing was lost, as the operator knows.

    It takes back an alarm that was sounded for the other server's sake alone; `HistoryLost` for one that a guard has
    proven. If guards have seen more than this server holds, the next one that asks sounds the alarm.
    """
    async with authority.administering() as connection:
        at = await read_head(connection)
        if at.alarm is not None and not is_for_a_move(at):
            raise HistoryLost(at.alarm)
        await connection.execute(update(head).values(identity=at.witness, alarm=None))
        detail = f"the same history, from {at.identity} to {at.witness}"
        await record(connection, ACTION, actor=OPERATOR, target=at.epoch, detail=detail)
        return at.position


async def _recover(
    authority: Authority,
    connection: AsyncConnection,
    current: Key,
    following: Key,
    *,
    actor: str,
    clone: bool = False,
) -> Recovered:
    before, epoch = await read_head(connection), new_id()
    if authority.settings.sessions_survive and not clone:
        await carry_over(connection, before.epoch, epoch)
    foreign_floor = await refuse_older_foreign(connection)
    await new_epoch(connection, clone=clone, epoch=epoch)
    await withdraw_all(connection, authority.keyring, current, following)
    after = (await read_head(connection)).position
    detail = f"from {before.position} to {after}{', as a clone' if clone else ''}, foreign floor {foreign_floor}"
    await record(connection, ACTION, actor=actor, target=after.epoch, detail=detail)
    return Recovered(after, foreign_floor)
