"""Recovery after history was lost (a restored backup, a failover, a copied database): by the operator only."""

from typing import Final

from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.keys.rotation import withdraw_all
from watchword.authority.log.head import new_epoch, read_head
from watchword.authority.operator import OPERATOR
from watchword.core.cutoffs import Position

ACTION: Final = "recover"


async def recover(authority: Authority, *, clone: bool = False) -> Position:
    """Begin a new epoch, and with it open the feed again; the log's position then.

    Every older token, session and cursor is void. Every signing key is withdrawn too: what was lost may have been a
    key's withdrawal, and a copy of a database must not sign for the original. ``clone`` makes a new instance besides,
    so that guards never take the copy for the original.
    """
    current, following = await authority.keyring.generate(), await authority.keyring.generate()
    async with authority.changing() as connection:
        before = await read_head(connection)
        await new_epoch(connection, clone=clone)
        await withdraw_all(connection, authority.keyring, current, following)
        after = (await read_head(connection)).position
        detail = f"from {before.position} to {after}{', as a clone' if clone else ''}"
        await record(connection, ACTION, actor=OPERATOR, target=after.epoch, detail=detail)
    return after
