"""Where tokens are signed: with RSA in threads, as that takes longer than all else and needs no interpreter."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar, final

from watchword.core.keys import Key

_SLOW: Final = ("RS", "PS")  # the others take less than the way to a thread and back
_MOST: Final = 8  # threads: the interpreter has work for no more
_Made = TypeVar("_Made")
_Job = tuple[asyncio.Future[Any], Callable[[], Any]]


@final
class Signing:
    """A few threads that live from the first token on, and one loop that they work for.

    An executor of the standard library costs twice as much for each token: it tells the loop of each by itself.
    """

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._asked: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told = False

    def sign(self, key: Key, make: Callable[[], _Made]) -> asyncio.Future[_Made]:
        """What ``make`` will give, which mints a token with that key; it runs beside the loop if that takes long.

        Whoever has a transaction to end begins before that, and hands the token out after it.
        """
        loop = asyncio.get_running_loop()
        made: asyncio.Future[_Made] = loop.create_future()
        if not key.public.algorithm.startswith(_SLOW):
            made.set_result(make())
            return made
        if not self._threads:
            self._start(loop)
        self._asked.put((made, make))
        return made

    def close(self) -> None:
        """End the threads once what was asked is done."""
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in range(min(os.cpu_count() or 1, _MOST)):
            thread = threading.Thread(target=self._work, args=(loop,), name=f"signing-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._asked.get()) is not None:
            made, make = job
            try:
                self._done.append((made, make(), None))
            except BaseException as why:  # noqa: BLE001 - it is raised where it was asked for
                self._done.append((made, None, why))
            if not self._told:  # or the loop is about to look, and finds this one too
                self._told = True
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._told = False
        while self._done:
            made, token, why = self._done.popleft()
            if made.done():  # who asked has left
                continue
            if why is None:
                made.set_result(token)
            else:
                made.set_exception(why)
