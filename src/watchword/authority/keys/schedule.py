"""What happens to signing keys by themselves in time; of several replicas the first that finds it due does it."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.database import clock
from watchword.authority.keys.lead import lead_left
from watchword.authority.keys.rotation import drop, expired, rotate
from watchword.authority.schema import keys
from watchword.authority.settings import Settings

SCHEDULE: Final = "schedule"
"""The actor in the audit log."""
_DAY: Final = 86400.0


async def rotate_if_due(authority: Authority) -> bool:
    """Rotate if the current key has signed for `rotate_days` and the next one may sign; whether it was so."""
    async with authority.database.reading() as connection:
        if not await _is_due(connection, authority.settings):
            return False
    fresh = await authority.keyring.generate()  # outside of any transaction: it can take a second
    async with authority.administering() as connection:
        if not await _is_due(connection, authority.settings):
            return False  # another replica was first
        await rotate(connection, authority.keyring, fresh)
        await record(connection, "rotate_keys", actor=SCHEDULE, target=fresh.kid)
        return True


async def drop_expired(authority: Authority, margin: float) -> int:
    """Withdraw the keys that retired so long ago that nothing they signed can be alive; how many.

    ``margin`` is what is waited for in seconds beyond the longest lifetime in force.
    """
    async with authority.database.reading() as connection:
        if not await expired(connection, margin):
            return 0
    async with authority.administering() as connection:
        gone = await expired(connection, margin)
        if gone:
            await drop(connection, gone)
        for kid in gone:
            await record(connection, "drop_key", actor=SCHEDULE, target=kid)
        return len(gone)


async def _is_due(connection: AsyncConnection, settings: Settings) -> bool:
    if not settings.rotate_days:
        return False
    # Not since it was made: the next key has been published for as long as its predecessor signed.
    since = (await connection.execute(select(keys.c.changed_at).where(keys.c.state == "current"))).scalar_one()
    due = since + settings.rotate_days * _DAY <= await clock(connection)
    return due and not await lead_left(connection, settings)
