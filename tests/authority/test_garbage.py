"""The garbage collector leaves alone what stays."""

import gc
from collections.abc import Iterator

import pytest

from watchword.authority.garbage import keep_what_is_there


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The tests' own collector."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_there_is_not_looked_through_again() -> None:
    """Nothing from before is in any generation; what comes later is, and is found when it is garbage."""
    before: list[object] = []
    keep_what_is_there()
    assert gc.get_freeze_count() > 1000
    later: list[object] = []
    watched = gc.get_objects()
    assert not any(each is before for each in watched)
    assert any(each is later for each in watched)
    later.append(later)
    del later, watched
    assert gc.collect() > 0


def test_it_looks_more_rarely() -> None:
    """Not at each few hundred objects, which a handful of requests make; and not never."""
    keep_what_is_there()
    assert 5_000 < gc.get_threshold()[0] < 100_000
    assert gc.get_threshold()[1] > 0
    assert gc.isenabled()
