"""Measure by interleaved rounds: every subject once a round, so that what disturbs the machine disturbs all alike.

Costs are processor time, not elapsed time: other processes on the machine then cost nothing but their cold caches.
"""

import asyncio
import gc
import os
import random
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, final

Work = Callable[[], float]
"""One batch of a subject; how many nanoseconds of processor time one operation took in it."""

_BATCH: Final = 8_000_000  # ns: long against the clock's step, short against the machine's moods
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, the quartiles around it, and the least value seen."""

    median: float
    low: float
    high: float
    least: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The figure of some values, one a round."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, min(values))

    @classmethod
    def exactly(cls, value: float) -> Self:
        """A figure that does not vary: a count, or a size."""
        return cls(value, value, value, value)


@final
class Samples:
    """What the rounds gave: for each subject, nanoseconds an operation, in the rounds' order."""

    def __init__(self, costs: Mapping[str, Sequence[float]]) -> None:
        self._costs = costs

    def cost(self, name: str) -> Figure:
        """Microseconds an operation."""
        return Figure.of([cost / 1000 for cost in self._costs[name]])

    def ratio(self, name: str, base: str) -> Figure:
        """One subject against another, each round against itself."""
        return Figure.of([cost / other for cost, other in zip(self._costs[name], self._costs[base], strict=True)])

    def added(self, name: str, base: str) -> Figure:
        """Microseconds that one subject takes over another, each round against itself."""
        pairs = zip(self._costs[name], self._costs[base], strict=True)
        return Figure.of([(cost - other) / 1000 for cost, other in pairs])


def interleave(subjects: Mapping[str, Work], *, rounds: int = 41) -> Samples:
    """Run every subject once a round, in another order each round."""
    costs: dict[str, list[float]] = {name: [] for name in subjects}
    order = list(subjects)
    shuffle = random.Random(_SEED).shuffle
    for work in subjects.values():
        work()
    gc.collect()
    gc.freeze()  # the collector goes on, as it does in a service, but what the bench itself holds is not its business
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                costs[name].append(subjects[name]())
    finally:
        gc.unfreeze()
    return Samples(costs)


def each(function: Callable[..., object], *columns: Iterable[Any]) -> Work:
    """Call a function for every item, over and over until a batch is long enough."""
    return fresh(lambda: function, *columns)


def fresh(make: Callable[[], Callable[..., object]], *columns: Iterable[Any]) -> Work:
    """The same with a function that is made anew before each pass over the items, which costs nothing."""
    rows = [tuple(column) for column in columns]
    drop: deque[object] = deque(maxlen=0)
    clock = time.thread_time_ns

    def batch() -> float:
        spent = passes = 0
        while spent < _BATCH:
            function = make()
            begun = clock()
            drop.extend(map(function, *rows))
            spent += clock() - begun
            passes += 1
        return spent / passes / len(rows[0])

    return batch


def each_await(loop: asyncio.AbstractEventLoop, once: Callable[[], Awaitable[object]], *, step: int = 200) -> Work:
    """Await something over and over on one event loop."""
    clock = time.thread_time_ns

    async def several() -> int:
        begun = clock()
        for _ in range(step):
            await once()
        return clock() - begun

    def batch() -> float:
        spent = passes = 0
        while spent < _BATCH:
            spent += loop.run_until_complete(several())
            passes += 1
        return spent / passes / step

    return batch


def pin() -> str:
    """Keep this process, and those that it starts, on the last core; says what was done."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"
