"""What becomes of guards: they are paused, and their wall clocks are wrong."""

import pytest
from tests.system.drills.drill import Drill

pytestmark = pytest.mark.xdist_group("drills")  # one worker runs them: a second world would disturb the first

HOUR = 3600  # seconds


def test_guards_are_paused(drill: Drill) -> None:
    """A process that wakes up knows that its knowledge is old: it decides nothing on it."""
    paused = drill.world.guards[:3]
    for guard in paused:
        guard.pause()
    drill.last(1.5)
    drill.revoke(10)
    for guard in paused:
        guard.resume()
    drill.over()


def test_a_clock_is_an_hour_ahead(drill: Drill) -> None:
    """Tokens that live long enough are judged as ever: no cutoff is held against a wall clock."""
    drill.world.guards[0].shift_clock(HOUR)
    drill.revoke(10)
    drill.over()


def test_a_clock_is_an_hour_behind(drill: Drill) -> None:
    """Tokens from the future are refused: a wrong clock costs refusals, never an acceptance."""
    guard = drill.world.guards[0]
    drill.history.excused = {guard.name: {"token_not_yet_valid"}}
    guard.shift_clock(-HOUR)
    drill.revoke(10)
    guard.shift_clock(0)
    drill.revoke(5)
    drill.over()
