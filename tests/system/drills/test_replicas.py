"""What becomes of replicas: they die, and they stand still."""

import pytest
from tests.system.drills.drill import Drill

pytestmark = pytest.mark.xdist_group("drills")  # one worker runs them: a second world would disturb the first


def test_a_replica_is_killed(drill: Drill) -> None:
    """The others go on acknowledging, and its guards hear it from them."""
    drill.world.replicas[0].process.kill()
    drill.revoke(10)
    drill.over()


def test_all_replicas_are_killed(drill: Drill) -> None:
    """Guards decide on what they know until that is too old, and then refuse everything."""
    for replica in drill.world.replicas:
        replica.process.kill()
    drill.until_all_are_stale()
    drill.over()


def test_a_replica_is_paused(drill: Drill) -> None:
    """It holds its connections and its locks, and nobody is told; guards and other replicas get along without it."""
    drill.world.replicas[1].process.pause()
    drill.last(1.5)
    drill.revoke(10)
    drill.over()


def test_all_replicas_are_paused(drill: Drill) -> None:
    """An answer that was held through the pause is as old as its question, whenever it comes."""
    for replica in drill.world.replicas:
        replica.process.pause()
    drill.until_all_are_stale()
    drill.over()


def test_revocations_come_as_fast_as_they_can(drill: Drill) -> None:
    """Over twelve connections, at all replicas at once: guards hear of all that were acknowledged."""
    drill.storm(3, connections=4)
    drill.over()
