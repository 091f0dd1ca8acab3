"""What a cached token costs in memory, with 100,000 of them."""

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from bench import world
from bench.measure import Figure
from bench.table import Row, Section
from watchword import Issuer

_COUNT: Final = 100_000


def measure() -> list[Section]:
    """Bytes for each, by tracemalloc: all that is still held after the tokens themselves have gone."""
    signer = world.key("RS256", 2048)
    issuer = Issuer(world.ISSUER, signer)
    with ThreadPoolExecutor(2) as pool:  # signing lets other threads run
        texts = [token.encode() for token in pool.map(partial(world.mint, issuer), range(_COUNT), chunksize=500)]
    guard = world.guard(signer, max_cached=2 * _COUNT)
    guard.verify(texts[0].decode())
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for text in texts:
        guard.verify(text.decode())  # a text of its own, as each request brings one
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    hits = _each(guard.verify, texts)
    kept = hits < _each(world.guard(signer).verify, texts[:1000]) / 4  # or there is no cache to speak of
    goal = 600 if kept else None
    rows = [
        Row("bytes held for each of 100,000 tokens", Figure.exactly((held - before) / _COUNT), "bytes", goal),
        Row("length of such a token", Figure.exactly(len(texts[0])), "bytes"),
        Row("seeing each of the 100,000 again", Figure.exactly(hits), "µs"),
    ]
    return [Section("memory", "Memory of the cache", rows)]


def _each(verify: Callable[[str], object], texts: Sequence[bytes]) -> float:
    """Microseconds for each, in one pass."""
    tokens = [text.decode() for text in texts]
    begun = time.thread_time_ns()
    for token in tokens:
        verify(token)
    return (time.thread_time_ns() - begun) / len(tokens) / 1000
