"""What is done in time: keys are rotated; old cutoffs, keys, failures and sessions are forgotten."""

import asyncio
from contextlib import suppress
from typing import Final, final

from watchword.authority.accounts.throttle import forget_old
from watchword.authority.authority import Authority
from watchword.authority.background import surviving
from watchword.authority.keys.schedule import drop_expired, rotate_if_due
from watchword.authority.log.followers import forget_silent
from watchword.authority.log.foreign import forget_foreign, raise_foreign_floor
from watchword.authority.log.head import forget_below_floor, raise_floor
from watchword.authority.sessions.sessions import forget_over
from watchword.core.verifier import MAX_LEEWAY

PERIOD_SECONDS: Final = 30.0
FLOOR_MARGIN: Final = MAX_LEEWAY.total_seconds() + 60.0
"""What a cutoff or key outlives the longest token by, in seconds: the largest leeway, and the time of a transaction."""
_DAY: Final = 86400.0


async def keep_house(authority: Authority) -> None:
    """Do what is due, once."""
    # Each in a transaction of its own: what raises the floor holds the log's head, and must not hold it for long.
    async with authority.database.writing(alone=True) as connection:
        await raise_floor(connection, FLOOR_MARGIN)
    async with authority.database.writing(alone=True) as connection:
        await raise_foreign_floor(connection, authority.settings.foreign_lifetime, FLOOR_MARGIN)
    async with authority.database.writing(alone=True) as connection:
        await forget_below_floor(connection)
        await forget_foreign(connection)
        await forget_old(connection)
        await forget_silent(connection)
        await forget_over(connection, authority.settings.session_days * _DAY)
    await drop_expired(authority, FLOOR_MARGIN)
    await rotate_if_due(authority)


@final
class Housekeeper:
    """Keeps house every half a minute until it is stopped."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_on())

    async def stop(self) -> None:
        """Let what runs end, and stop."""
        self._stopping.set()
        await self._task

    async def _keep_on(self) -> None:
        while not self._stopping.is_set():
            with surviving("keeping house"):
                await keep_house(self._authority)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), PERIOD_SECONDS)
