"""The lookout by itself: what it holds for a connection, and what news cost that concern nobody."""

import asyncio
import gc
import time
import tracemalloc
from dataclasses import replace
from typing import Final

from bench.measure import Figure
from bench.table import Row, Section
from watchword import Guard, KeySet, Position, Refused
from watchword.core.caller import Facts, Grant
from watchword.core.cutoffs import Cutoff, Cutoffs, Scope
from watchword.core.feed import Knowledge
from watchword.guard.decisions import Decision
from watchword.guard.lookout import Watch
from watchword.guard.source import Known, Listeners, boot_clock

_COUNT: Final = 10_000
_NEWS: Final = 500
_EPOCH: Final = "e"
_GRANT: Final = Grant(frozenset({"editor"}), frozenset({"editor"}), frozenset(), frozenset())


class _Source:
    """What is known, and nobody to ask."""

    clock = staticmethod(boot_clock)
    last_error: str | None = None

    def __init__(self) -> None:
        self.listeners = Listeners()
        knowledge = Knowledge("i", _EPOCH, 0, 0, 0, KeySet(), Cutoffs(), "c")
        self.known: Known | None = Known(knowledge, boot_clock())

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def wake(self) -> None: ...
    def wait(self, timeout: float) -> bool:
        """Always there."""
        return timeout >= 0

    def cut_off(self, number: int) -> None:
        """One more cutoff, of nobody here."""
        before = self.known
        assert before is not None
        cutoffs = before.knowledge.cutoffs.with_added([Cutoff(number, Scope.USER, f"no-{number}", "user_disabled")], 0)
        knowledge = replace(before.knowledge, number=number, head=number, cutoffs=cutoffs)
        self.known = Known(knowledge, boot_clock())
        self.listeners.tell(before, self.known)


def measure(*, quick: bool) -> Section:
    """Watch many, and look."""
    return asyncio.run(_measured(500 if quick else _COUNT, 50 if quick else _NEWS))


async def _measured(count: int, news: int) -> Section:
    source = _Source()
    guard = Guard("https://auth.example", audience="orders", source=source)
    decisions = [_decision(number) for number in range(count)]
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    watches = [guard.lookouts.watch(decision, _never, connected=True) for decision in decisions]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    alone = await _looks(source, range(1, news + 1))
    for watch in watches:
        watch.stop()
    one = guard.lookouts.watch(decisions[0], _never)
    few = await _looks(source, range(news + 1, 2 * news + 1))
    one.stop()
    opened = _opening(guard, decisions)
    return Section(
        "lookout",
        f"What it takes to watch {count:,} connections (in one process, without sockets)",
        [
            Row("memory for each, of a caller of its own", Figure.exactly((held - before) / count), "bytes", 3000),
            Row("processor time to begin and end one", Figure.of(opened), "µs", 20),
            Row(f"a cutoff that concerns none of {count:,}", Figure.of(alone), "µs", 50),
            Row("the same with one connection", Figure.of(few), "µs"),
        ],
    )


def _decision(number: int) -> Decision:
    ends = time.time() + 3600
    position = Position(_EPOCH, 0)
    facts = Facts(f"u-{number}", "web", f"s-{number}", f"t-{number}", "https://auth.example", 0, ends, position, _GRANT)
    return Decision("GET", "/chat", facts=facts)


def _never(refusal: Refused) -> None:
    raise AssertionError(refusal)


async def _looks(source: _Source, numbers: range) -> list[float]:
    """Microseconds of processor time from each news until it was looked at."""
    taken = []
    for number in numbers:
        begun = time.process_time_ns()
        source.cut_off(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        taken.append((time.process_time_ns() - begun) / 1000)
    return taken


def _opening(guard: Guard, decisions: list[Decision]) -> list[float]:
    """Microseconds of processor time for each, by batches."""
    taken = []
    for begin in range(0, len(decisions), 100):
        batch = decisions[begin : begin + 100]
        watches: list[Watch] = []
        begun = time.process_time_ns()
        watches.extend(guard.lookouts.watch(decision, _never) for decision in batch)
        for watch in watches:
            watch.stop()
        taken.append((time.process_time_ns() - begun) / 1000 / len(batch))
    return taken
