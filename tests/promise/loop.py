"""An event loop that runs only when it is told to, and operations that can be held at any of their steps."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from functools import cache
from typing import Any, Final, TypeVarTuple

Ts = TypeVarTuple("Ts")

STEPS: ContextVar["Steps"] = ContextVar("STEPS")
PROCESS: ContextVar["Process"] = ContextVar("PROCESS")


class Process:
    """All that one process has under way, whoever began it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dead = False

    def has(self, task: asyncio.Task[Any]) -> None:
        """This is one of its tasks."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._dead:
            task.cancel()  # a timer had been set before

    def die(self) -> None:
        """Nothing more of any of it happens, and nobody hears of it."""
        self._dead = True
        for task in list(self._tasks):
            task.cancel()


class Loop(asyncio.SelectorEventLoop):
    """The standard loop, run until nothing is ready. There are no sockets in this world; the clock is the world's."""

    _busy = False
    _now = 0.0

    def time(self) -> float:
        """The true time in the world."""
        return self._now

    def at(self, now: float) -> None:
        """It is later now, or the beginning of another world."""
        self._now, self._busy = now, True

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Remember that something is ready."""
        self._busy = True
        return super().call_soon(callback, *args, context=context)

    def create_task(self, coro: Any, **more: Any) -> asyncio.Task[Any]:
        """A task belongs to the process that it was made in."""
        task: asyncio.Task[Any] = super().create_task(coro, **more)
        process = more.get("context", copy_context()).get(PROCESS)
        if process is not None:
            process.has(task)
        return task

    def settle(self) -> None:
        """Run all that can run without being told more."""
        while self._busy:
            self._busy = False
            super().call_soon(self.stop)
            self.run_forever()


class Steps:
    """How many steps an operation may still take before it is held; None for as many as it likes."""

    def __init__(self, allowed: int | None = None) -> None:
        self._allowed = allowed
        self._gate: asyncio.Future[None] | None = None

    async def take(self) -> None:
        """Take one step, perhaps after a while."""
        while self._allowed == 0:
            self._gate = asyncio.get_running_loop().create_future()
            await self._gate
        if self._allowed is not None:
            self._allowed -= 1

    def allow(self, allowed: int | None) -> None:
        """Let it go on, as far as this."""
        self._allowed = allowed
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)


async def step() -> None:
    """A point at which the running operation can be held, and its process can die."""
    await STEPS.get().take()


class Operation:
    """Something that a process does in several steps; `World.settle` tells ``ended`` what came of it."""

    def __init__(
        self, process: Process, work: Coroutine[Any, Any, Any], allowed: int | None, ended: Callable[[Any], None]
    ) -> None:
        self.steps = Steps(allowed)
        self.ended: Final = ended
        context = copy_context()
        context.run(STEPS.set, self.steps)
        context.run(PROCESS.set, process)
        self.task = the_loop().create_task(work, context=context)


@cache
def the_loop() -> Loop:
    """One for all worlds: they never run side by side."""
    return Loop()
