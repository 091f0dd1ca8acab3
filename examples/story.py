"""Watchword's whole story, played against real processes: ``make demo`` prints what happened, and how soon."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx2

from examples.processes import NotStarted
from examples.stage import Stage, open_stage
from examples.steps import STEPS, Row, Step


def main() -> int:
    """Play every step; 0 only if each went as it should."""
    print("Starting an authority and an example service on free ports ...", flush=True)
    begun, rows = time.monotonic(), list[Row]()
    try:
        with tempfile.TemporaryDirectory(prefix="watchword-story-") as folder, open_stage(Path(folder)) as stage:
            print(_line(Row("step", "expected", "got"), ms="ms"))
            for step in STEPS:
                print(f"\n{(step.__doc__ or '').splitlines()[0]}")
                for row in _played(step, stage):
                    rows.append(row)
                    print(_line(row), flush=True)
    except (NotStarted, RuntimeError, OSError, httpx2.HTTPError) as why:
        print(f"examples.story: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    print(_summary(rows, time.monotonic() - begun))
    return 0 if all(row.good for row in rows) else 1


def _played(step: Step, stage: Stage) -> Iterator[Row]:
    """The rows of a step; one that breaks off is a row too, and the story goes on."""
    try:
        yield from step(stage)
    except (RuntimeError, LookupError, httpx2.HTTPError) as why:
        yield Row(step.__name__, "to be played to its end", str(why))


def _line(row: Row, ms: str | None = None) -> str:
    mark = " " if ms else "✓" if row.good else "✗"
    passed = ms or ("" if row.ms is None else f"{row.ms:.1f}")
    return f"{mark} {row.step:<43} {row.expected:<40} {row.got:<40} {passed:>6}".rstrip()


def _summary(rows: list[Row], seconds: float) -> str:
    bad = sum(not row.good for row in rows)
    times = sorted(row.ms for row in rows if row.ms is not None)
    verdict = "all as expected" if not bad else f"{bad} NOT as expected"
    text = f"\n{len(rows)} steps in {seconds:.0f} s: {verdict}."
    if times:
        text += f" From acknowledgement to first refusal: median {median(times):.1f} ms, longest {times[-1]:.1f} ms."
    return text


if __name__ == "__main__":
    sys.exit(main())
