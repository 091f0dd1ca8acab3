"""A peer's process: reads the material, then runs a batch for each line that names one of its functions."""

import gc
import importlib
import json
import sys
import time
from collections import deque
from importlib.metadata import version
from typing import Final

from bench.peers import Material, Variants

_BATCH: Final = 8_000_000  # ns


def main(module: str, package: str) -> None:
    """Speak lines of JSON with the bench."""
    material: Material = json.loads(sys.stdin.readline())
    variants: Variants = importlib.import_module(f"bench.peers.{module}").prepare(material)
    for function in variants.values():
        deque(map(function, material["tokens"]), maxlen=0)
    gc.collect()
    gc.freeze()
    print(json.dumps({"version": version(package), "variants": list(variants)}), flush=True)
    for line in sys.stdin:
        print(_batch(variants, line.strip(), material["tokens"]), flush=True)


def _batch(variants: Variants, name: str, tokens: list[str]) -> float:
    function, clock = variants[name], time.thread_time_ns
    drop: deque[object] = deque(maxlen=0)
    spent = passes = 0
    while spent < _BATCH:
        begun = clock()
        drop.extend(map(function, tokens))
        spent += clock() - begun
        passes += 1
    return spent / passes / len(tokens)


main(*sys.argv[1:])
