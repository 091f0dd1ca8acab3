"""Read your own revocation: requests that wait until what is known has come to a position."""

import asyncio
import math
from typing import Final, final

from watchword.core.cutoffs import Position
from watchword.errors import Behind
from watchword.guard.source import Source

MAX_WAIT: Final = 1.0
"""Seconds that a request waits for news at most; a revocation takes some thousandths to come."""

MAX_WAITING: Final = 100
"""Requests of one guard that wait at the same time: each holds a connection, for whoever names a position to come."""

_LOOKS = (0.001, 0.02)  # seconds between looks at what is known: the first, and the longest


@final
class CatchingUp:
    """Waits on an event loop for what a source learns in a thread.

    It looks again and again, less and less often. To be called from the thread would save some looks, but take a lock
    between all sources and all loops; and there are few who wait.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting: set[object] = set()

    def lacks(self, position: Position) -> bool:
        """Whether what is known is of another epoch, or ends before this position."""
        known = self._source.known
        if known is None:
            return True
        knowledge = known.knowledge
        return position.epoch != knowledge.epoch or position.number > knowledge.number

    async def reach(self, position: Position) -> None:
        """Return once the position is known; `Behind` if that takes too long, or too many wait already."""
        if not self.lacks(position):
            return
        known = self._source.known
        if known is not None and known.as_of == math.inf:
            raise Behind("no revocation ever reaches a guard with fixed keys")
        if len(self._waiting) >= MAX_WAITING:
            raise Behind(f"{MAX_WAITING} requests wait already")
        self._source.wake()
        place = object()
        self._waiting.add(place)
        try:
            await self._wait(position)
        finally:
            self._waiting.discard(place)

    async def _wait(self, position: Position) -> None:
        clock = asyncio.get_running_loop().time
        end, (pause, longest) = clock() + MAX_WAIT, _LOOKS
        while self.lacks(position):
            if clock() >= end:
                raise Behind(f"{position} was not reached in {MAX_WAIT:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
