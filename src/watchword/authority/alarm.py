"""What a serving process does once history is found to be lost: it says so, and recovers where the settings want it."""

import asyncio
import logging
from contextlib import suppress
from typing import Final, final

from watchword.authority.authority import Authority
from watchword.authority.background import surviving
from watchword.authority.log.head import read_head
from watchword.authority.recover import recover_by_itself

RETRY_SECONDS: Final = 1.0
"""How long after an alarm it is looked whether it still stands."""
_log: Final = logging.getLogger("watchword.authority")


@final
class AlarmWatch:
    """Answers an alarm as soon as it is sounded, by whichever replica, until it is stopped."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._told = ""
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_on())

    async def stop(self) -> None:
        """Let what runs end, and stop."""
        self._stopping.set()
        self._authority.reader.alarmed.set()
        await self._task

    async def _keep_on(self) -> None:
        alarmed = self._authority.reader.alarmed
        while not self._stopping.is_set():
            await alarmed.wait()
            alarmed.clear()  # the reader sets it again for as long as an alarm stands
            with surviving("answering an alarm"):
                await self._answer()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY_SECONDS)

    async def _answer(self) -> None:
        async with self._authority.database.reading() as connection:
            at = await read_head(connection)
        if at.alarm is None:
            return
        if self._authority.settings.auto_recover:
            if (recovered := await recover_by_itself(self._authority)) is not None:
                told = "history was lost: %s; a new one began by itself, at %s; others' tokens are refused up to %d"
                _log.warning(told, at.alarm, *recovered)
        elif self._told != at.epoch:
            self._told = at.epoch
            _log.error("history is lost: %s; the feed is closed until you run `watchword recover`", at.alarm)
