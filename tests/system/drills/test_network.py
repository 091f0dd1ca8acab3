"""What becomes of the network between guards and replicas."""

import pytest
from tests.system.drills.drill import Drill
from tests.system.drills.world import MAX_STALENESS

pytestmark = pytest.mark.xdist_group("drills")  # one worker runs them: a second world would disturb the first


def test_one_way_is_a_black_hole(drill: Drill) -> None:
    """Nobody is told; guards notice in time to stay fresh by another replica."""
    drill.world.fronts[0].black_hole()
    drill.last(1.5)
    drill.revoke(10)
    drill.over()


def test_all_ways_are_black_holes(drill: Drill) -> None:
    """Revocations are acknowledged, and no guard hears of them: each refuses when it knows too little."""
    for front in drill.world.fronts:
        front.black_hole()
    drill.until_all_are_stale()
    drill.over()


def test_ways_are_half_open(drill: Drill) -> None:
    """Here answers are lost, there questions, and the third way is well."""
    drill.world.fronts[0].half_open("to_client")
    drill.world.fronts[1].half_open("to_server")
    drill.last(1.5)
    drill.revoke(10)
    drill.over()


def test_answers_come_late(drill: Drill) -> None:
    """Later than the bound: they look no fresher for it."""
    for front in drill.world.fronts:
        front.delay(5 * MAX_STALENESS)
    drill.until_all_are_stale()
    drill.revoke(5)
    drill.over()


def test_answers_come_a_little_late_and_then_none(drill: Drill) -> None:
    """An answer is as old as its question: what was under way does not make the bound longer."""
    for front in drill.world.fronts:
        front.delay(0.15 * MAX_STALENESS)
    drill.revoke(10)
    for front in drill.world.fronts:
        front.black_hole()
    drill.until_all_are_stale()
    drill.over()


def test_ways_flap(drill: Drill) -> None:
    """Connections break again and again, on all ways, out of step."""
    for front, seconds in zip(drill.world.fronts, (0.3, 0.5, 0.7), strict=True):
        front.flap(seconds)
    drill.revoke(20)
    drill.over()
