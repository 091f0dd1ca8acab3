"""What becomes of the database: it restarts, it is killed, its replicas cannot reach it, its disk is full."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.system.drills.drill import Drill
from tests.system.drills.world import World

from watchword.errors import Unavailable

pytestmark = pytest.mark.xdist_group("drills")  # one worker runs them: a second world would disturb the first


def test_the_database_is_restarted(drill: Drill) -> None:
    """Connections break in the middle of transactions; replicas find it again by themselves."""
    assert drill.world.postgres is not None
    drill.world.postgres.restart("immediate")
    drill.revoke(10)
    drill.over()


def test_the_database_is_killed(drill: Drill) -> None:
    """While it is away nothing is acknowledged, and guards become stale; what was acknowledged before holds."""
    assert drill.world.postgres is not None
    drill.world.postgres.kill()
    drill.until_all_are_stale()
    drill.over()


def test_a_replica_cannot_reach_the_database(drill: Drill) -> None:
    """It answers from no memory; its guards go elsewhere."""
    drill.world.backs[2].black_hole()
    drill.last(1.5)
    drill.revoke(10)
    drill.over()


def test_no_replica_can_reach_the_database(drill: Drill) -> None:
    """Whatever they know, it is not certainly the latest: no guard stays fresh by it."""
    for back in drill.world.backs:
        back.black_hole()
    drill.until_all_are_stale()
    drill.over()


def test_answers_of_the_database_are_lost(drill: Drill) -> None:
    """A revocation may then be committed and not acknowledged; it is never the other way round."""
    for back in drill.world.backs:
        back.half_open("to_client")
    drill.until_all_are_stale()
    drill.over()


@contextmanager
def full_disk(world: World) -> Iterator[None]:
    """The authority cannot write a byte to any file for a while."""
    (replica,) = world.replicas
    assert replica.process.pid is not None
    soft, hard = resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(replica.process.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_the_disk_is_full(small_drill: Drill) -> None:
    """A revocation answers 503 and is not half done; tokens are judged as before; then all goes on."""
    world, headers = small_drill.world, small_drill.world.administrator()
    (replica,) = world.replicas
    with full_disk(world):
        before = replica.api.get("/readyz").json()["position"]
        for _ in range(3):
            answer = replica.api.post("/admin/revocations", json={"scope": "token", "id": "not-done"}, headers=headers)
            assert answer.status_code == 503
            assert answer.json()["code"] == Unavailable.code
            assert "retry-after" in answer.headers
        assert replica.api.get("/readyz").json()["position"] == before
        shown = replica.api.get("/admin/revocations", headers=headers).json()["items"]
        assert all(cutoff["id"] != "not-done" for cutoff in shown)
        small_drill.last(1.5)
    small_drill.revoke(5)
    small_drill.over()


def test_the_only_authority_is_killed(small_drill: Drill) -> None:
    """On SQLite too, what was acknowledged is on disk."""
    small_drill.world.replicas[0].process.kill()
    small_drill.until_all_are_stale()
    small_drill.over()
