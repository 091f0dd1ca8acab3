"""Runs of the machine: how many, how long, and from which seed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.stateful import run_state_machine_as_test
from tests.promise.machine import Promise

from watchword.authority.log import pages
from watchword.core import cutoffs

STEPS: Final = 40


class Fresh(HypothesisProvider):
    """Makes each run anew: by default hypothesis makes five of six runs from others, with small changes."""


AVAILABLE_PROVIDERS["fresh"] = Fresh


def run(machine: type[Promise], runs: int, *, number: int | None = None, shrink: bool = False) -> None:
    """Let a machine run, and raise what it finds.

    ``number`` is a seed that makes these runs and no others; without one they are the same each time. What is found is
    made shorter only if asked for, as that takes minutes.
    """
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    one = machine if number is None else seed(number)(type(machine.__name__, (machine,), {}))
    chosen = settings(
        backend="fresh",
        max_examples=runs,
        stateful_step_count=STEPS,
        derandomize=number is None,
        database=None,
        deadline=None,
        phases=phases,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    pages_are_small = patch.object(pages, "PAGE_ENTRIES", machine.page_entries)
    folds_come_often = patch.object(cutoffs, "_FOLD_LIMIT", machine.fold_limit)
    with _silence(), pages_are_small, folds_come_often:
        run_state_machine_as_test(one, settings=chosen)


@contextmanager
def _silence() -> Iterator[None]:
    """What goes wrong here goes wrong ten thousand times a minute, and is meant to."""
    log = logging.getLogger("watchword")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
