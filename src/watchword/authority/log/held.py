"""Held answers: everybody who waits for news at the same place gets one page, from one read, at the same moment.

There is one timer for all, and nothing but a future for each: a thousand followers that hear nothing cost next to
nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from watchword.authority.log.cursor import Cursor
from watchword.authority.log.reader import LogReader, Read

MAX_HOLD: Final = 25.0
"""The longest that an answer is held, in seconds: less than the idle time-outs of common proxies."""
TICK_SECONDS: Final = 0.05
"""How much later than asked for a hold may end."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    answer: asyncio.Future[Read]
    until: float


@final
class Held:
    """The answers that are being held, by the place that they wait at."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._waiting: dict[Cursor, list[_Waiting]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        reader.on_wake(self._moved)

    async def page(self, after: Cursor | None, hold: float) -> Read:
        """What came after that place: at once if there is anything, else after ``hold`` seconds. Raises `Refused`."""
        reader = self._reader
        until = asyncio.get_running_loop().time() + min(hold, MAX_HOLD)
        while after is None or hold <= 0 or reader.closing or not reader.is_last(after):
            moves = reader.moves
            read = await reader.read(after)
            if after is None or hold <= 0 or read.news or reader.closing:
                return read
            if reader.moves == moves:
                break  # nothing has moved since: whatever does from here on wakes us
        return await self._held(after, until)

    def _held(self, after: Cursor, until: float) -> asyncio.Future[Read]:
        one = _Waiting(asyncio.get_running_loop().create_future(), until)
        self._wait_on(after, one)
        return one.answer

    def _moved(self) -> None:
        for after, waiting in self._waiting.items():
            self._serve(after, waiting)
        self._waiting = {}

    def _tick(self) -> None:
        """Answer those whose hold is over."""
        loop = asyncio.get_running_loop()
        now, waiting, self._waiting = loop.time(), self._waiting, {}
        for after, all_here in waiting.items():
            over = [one for one in all_here if one.until <= now]
            staying = [one for one in all_here if one.until > now and not one.answer.done()]
            if over:
                self._serve(after, over)
            if staying:
                self._waiting[after] = staying
        self._timer = loop.call_later(TICK_SECONDS, self._tick) if self._waiting else None

    def _serve(self, after: Cursor, waiting: Sequence[_Waiting]) -> None:
        task = asyncio.create_task(self._answer(after, waiting))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, after: Cursor, waiting: Sequence[_Waiting]) -> None:
        """One read for all of these, begun now; whoever it brings nothing to goes on waiting until the hold is over."""
        moves = self._reader.moves
        try:
            read = await self._reader.read(after)
        except Exception as why:  # noqa: BLE001 - whatever it is, nobody may wait for ever: those who asked have it
            for one in waiting:
                if not one.answer.done():
                    one.answer.set_exception(why)
            return
        now, over = asyncio.get_running_loop().time(), read.news or self._reader.closing
        staying = []
        for one in waiting:
            if one.answer.done():
                continue
            if over or one.until <= now:
                one.answer.set_result(read)
            else:
                staying.append(one)
        if staying and moves != self._reader.moves:
            self._serve(after, staying)  # it moved while we were reading
        else:
            for one in staying:
                self._wait_on(after, one)

    def _wait_on(self, after: Cursor, one: _Waiting) -> None:
        self._waiting.setdefault(after, []).append(one)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
