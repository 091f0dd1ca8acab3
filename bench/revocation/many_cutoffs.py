"""A guard that knows many living cutoffs: the time of a look-up, the memory, and requests while news is folded in."""

import gc
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Final

from bench import world
from bench.measure import Figure, Work, each, fresh, interleave
from bench.table import Row, Section
from watchword import Guard, Key
from watchword.core.feed import Knowledge, Page, fold
from watchword.guard.source import Known, boot_clock

_COUNTS: Final = (0, 1000, 10_000, 100_000)
_BASE: Final = 1000
_FLAT: Final = 1.15
_PAGE: Final = 10  # entries in each page of a storm
_PACE: Final = 0.01  # seconds between two of them
_WATCHED: Final = 3.0  # seconds


def measure(*, quick: bool) -> Iterator[Section]:
    """Look-ups, memory, and folding."""
    signer, tokens = world.key("RS256", 2048), world.tokens("RS256", 2048)
    feeds = {count: world.Feed(signer, cutoffs=count) for count in _COUNTS}
    yield _look_ups(signer, tokens, feeds, rounds=3 if quick else 21)
    yield _memory(signer)
    yield _folding(signer, tokens, feeds[_COUNTS[-1]], 0.5 if quick else _WATCHED)


def _look_ups(signer: Key, tokens: tuple[str, ...], feeds: dict[int, world.Feed], *, rounds: int) -> Section:
    kinds: dict[str, Callable[[world.Feed], Work]] = {
        "a token seen before": lambda feed: each(world.guard(signer, feed=feed).verify, tokens),
        "a token seen before, the first time after news": lambda feed: _after_news(signer, feed, tokens),
        "a token at first sight": lambda feed: fresh(lambda: world.guard(signer, feed=feed).verify, tokens),
    }
    subjects = {f"{kind}, {count}": make(feed) for kind, make in kinds.items() for count, feed in feeds.items()}
    samples = interleave(subjects, rounds=rounds)
    rows = []
    for kind in kinds:
        rows += [Row(f"{kind}, {count:,} cutoffs", samples.cost(f"{kind}, {count}"), "µs") for count in _COUNTS]
        rows += [
            Row(
                f"{kind}, {count:,} cutoffs against {_BASE:,}",
                samples.ratio(f"{kind}, {count}", f"{kind}, {_BASE}"),
                "x",
                _FLAT,
            )
            for count in _COUNTS
            if count > _BASE
        ]
    return Section("many-cutoffs", "Guard.verify, by how many living cutoffs the guard knows", rows)


def _after_news(signer: Key, feed: world.Feed, tokens: tuple[str, ...]) -> Work:
    """Every pass the guard knows something else, of which one is one cutoff more: all tokens are judged anew."""
    news = world.Feed(signer, cutoffs=0)
    guard = world.guard(signer, feed=news)
    before = feed.known.knowledge
    states = [Known(known, boot_clock()) for known in (before, fold(before, _page(before.number, 1)))]

    def verify() -> Callable[[str], object]:
        states.reverse()
        news.known = states[0]
        return guard.verify

    return fresh(verify, tokens)


def _memory(signer: Key) -> Section:
    rows = []
    for count in _COUNTS[1:]:
        body = world.snapshot(signer, count).encode()
        gc.collect()
        tracemalloc.start()
        knowledge = fold(None, Page.decode(body))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(knowledge.cutoffs) == count
        rows.append(Row(f"what a guard knows, {count:,} cutoffs", Figure.exactly(held / 1000), "kB"))
        rows.append(Row("for each cutoff", Figure.exactly(held / count), "bytes"))
    return Section("memory-of-cutoffs", "Memory of what a guard knows", rows)


def _folding(signer: Key, tokens: tuple[str, ...], feed: world.Feed, seconds: float) -> Section:
    """In this thread, requests; in another one what a follower does with a thousand cutoffs a second."""
    news = world.Feed(signer, cutoffs=0)
    news.known = feed.known
    guard = world.guard(signer, feed=news)
    calm = _calls(guard, tokens, seconds)
    ended = threading.Event()
    storm = threading.Thread(target=_fold_on, args=(news, ended))
    storm.start()
    try:
        busy = _calls(guard, tokens, seconds)
    finally:
        ended.set()
        storm.join()
    rows = [
        Row("p99 of Guard.verify, no news", Figure.exactly(_p99(calm)), "µs"),
        Row("p99 while 1,000 cutoffs a second are folded in", Figure.exactly(_p99(busy)), "µs"),
        Row("the longest, no news", Figure.exactly(max(calm)), "µs"),
        Row("the longest while cutoffs are folded in", Figure.exactly(max(busy)), "µs"),
    ]
    return Section("folding", f"Requests while pages are folded into {_COUNTS[-1]:,} cutoffs, elapsed time", rows)


def _calls(guard: Guard, tokens: tuple[str, ...], seconds: float) -> list[float]:
    """Microseconds of each call, for so long."""
    clock, taken = time.perf_counter_ns, []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for token in tokens:
            begun = clock()
            guard.verify(token)
            taken.append((clock() - begun) / 1000)
    return taken


def _fold_on(feed: world.Feed, ended: threading.Event) -> None:
    knowledge: Knowledge = feed.known.knowledge
    while not ended.wait(_PACE):
        body = _page(knowledge.number, _PAGE).encode()
        knowledge = fold(knowledge, Page.decode(body))
        feed.known = Known(knowledge, boot_clock())


def _page(after: int, count: int) -> Page:
    number = after + count
    entries = world.entries(after, number)
    return Page(world.ISSUER, "i1", world.EPOCH, after, number, number, 1, entries, None, "c")


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]
