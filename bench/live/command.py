"""The command line of such a bench: print the versions and each table, and write the documentation if asked."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

import uvloop

from bench import docs, environment
from bench.live.processes import allow_many_connections
from bench.table import Section, as_text

_PACKAGES: Final = ("cryptography", "msgspec", "starlette", "uvicorn", "uvloop", "httptools", "sqlalchemy", "asyncpg")

Measure = Callable[[bool, dict[str, str]], Iterator[Section]]
"""What is measured, quickly (only to see that it works) or well. It may add versions of its own to those given."""

Result = TypeVar("Result")


def main(mark: str, measure: Measure) -> None:
    """Run a bench. ``mark`` names it: ``make bench-<mark>``, and its place in the documentation."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{mark}")
    parser.add_argument("--quick", action="store_true", help="only see that it works: the figures mean nothing")
    parser.add_argument("--write-docs", action="store_true", help="write the results into the documentation")
    given = parser.parse_args()
    if given.quick and given.write_docs:
        parser.error("quick figures do not belong into the documentation")
    allow_many_connections()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(mark, measure, quick=given.quick, write=given.write_docs)
    except KeyboardInterrupt:
        sys.exit("interrupted; everything that was started has been stopped")


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on the event loop that the servers have too."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _run(mark: str, measure: Measure, *, quick: bool, write: bool) -> None:
    begun, versions = time.monotonic(), environment.describe(_PACKAGES)
    print(f"make bench-{mark}{' ARGS=--quick' if quick else ''}")
    print(f"load average at the start: {environment.load()}\n")
    sections: list[Section] = []
    for section in measure(quick, versions):
        print(as_text(section), flush=True)
        sections.append(section)
    print("\n".join(f"{name}: {value}" for name, value in versions.items()))
    print(f"{time.monotonic() - begun:.0f} s; load average at the end: {environment.load()}")
    if write:
        docs.write_alone(mark, versions, sections)
