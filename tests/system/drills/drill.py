"""One drill: tokens are revoked all the time while something is broken; then it heals, and the history is judged."""

import queue
import threading
from contextlib import suppress
from typing import Any, Final

import httpx2
from examples.processes import eventually
from tests.system.drills.history import History
from tests.system.drills.storm import storm
from tests.system.drills.watcher import ACCEPTED, STALE
from tests.system.drills.world import MAX_STALENESS, PATIENCE, Issued, Replica, World

from watchword.guard.source import boot_clock

REVOKED: Final = 80
"""Tokens that a drill may revoke."""
GOOD: Final = 8
PACE: Final = 0.2
"""Seconds between two revocations at one replica."""
RETRY: Final = 0.5
"""Seconds until another one, where one was not acknowledged."""


class Drill:
    """Begin, break something, and say when it is `over`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = History(MAX_STALENESS)
        self.measured: dict[str, str] = {}
        self._waiting = queue.SimpleQueue[Issued]()
        self._tried = dict[str, Issued]()
        self._issued = list[Issued]()
        self._spared = set[str]()
        self._stormed = 0
        self._position = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._drivers: list[threading.Thread] = []

    def begin(self) -> None:
        """Issue tokens, have every guard accept every one, and begin to revoke through all replicas at once."""
        issued = self.world.take(GOOD + REVOKED)
        self.history.good = {one.name for one in issued}  # until it is tried to revoke them
        self._issued, self._spared = issued, {one.name for one in issued[:GOOD]}
        for one in issued[GOOD:]:
            self._waiting.put(one)
        for guard in self.world.guards:
            guard.watch({one.name: one.token for one in issued})
        assert eventually(self._all_accepted, PATIENCE), self._statuses()
        headers = self.world.administrator()
        for replica in self.world.replicas:
            driver = threading.Thread(target=self._drive, args=(replica, headers), daemon=True)
            self._drivers.append(driver)
            driver.start()
        self._begun = boot_clock()
        self.revoke(3)

    def revoke(self, count: int) -> None:
        """Go on until so many more revocations have been acknowledged."""
        goal = len(self.history.acknowledged) + count
        assert eventually(lambda: len(self.history.acknowledged) >= goal, PATIENCE), "nothing is acknowledged any more"

    def storm(self, seconds: float, connections: int) -> None:
        """Revoke as fast as it goes, at each replica over so many connections; these tokens are nobody's."""
        urls = [replica.process.url for replica in self.world.replicas] * connections
        self._stormed, position = storm(urls, self.world.administrator(), seconds)
        self._heard(position)

    def last(self, bounds: float) -> None:
        """Go on for so many times the bound: as long as the fault shall last."""
        threading.Event().wait(bounds * MAX_STALENESS)

    def until_all_are_stale(self) -> None:
        """Go on until every guard says that it knows too little."""
        assert eventually(lambda: all(STALE in self._spared_outcomes(each) for each in self._statuses()), PATIENCE)

    def over(self) -> None:
        """Undo the fault, let everything come to rest, and hold the history against the promise."""
        healed = boot_clock()
        self.world.heal()
        self._stop()
        self._finish()
        settled = eventually(self._is_settled, PATIENCE)
        now = boot_clock()
        self.history.decisions = {guard.name: guard.history() for guard in self.world.guards}
        slowest, count = self.history.slowest(), len(self.history.acknowledged) + self._stormed
        self.measured |= {
            "revocations": str(count),
            "a second": f"{count / (healed - self._begun):.0f}",
            "last acceptance, s after": "none" if slowest is None else f"{slowest:.3f}",
            "good refused, s": f"{self.history.longest_refusal():.2f}",
            "to heal, s": f"{now - healed:.2f}",
        }
        violations = self.history.violations()
        assert not violations, "\n".join(violations)
        assert settled, self._statuses()

    def close(self) -> None:
        """End and heal, if it did not come to its end."""
        if not self.measured:
            self._stop()
            self.world.heal()
        self.world.give_back(one for one in self._issued if one.name not in self._tried)

    # -- Revoking

    def _drive(self, replica: Replica, headers: dict[str, str]) -> None:
        """Revoke at one replica, one token after the other; what is not acknowledged here is tried elsewhere."""
        pause = PACE
        while not self._ending.wait(pause):
            with suppress(queue.Empty):
                one = self._waiting.get_nowait()
                done = self._revoke(replica, headers, one)
                if not done:
                    self._waiting.put(one)
                pause = PACE if done else RETRY

    def _revoke(self, replica: Replica, headers: dict[str, str], one: Issued) -> bool:
        self.history.good.discard(one.name)
        self._tried[one.name] = one
        try:
            answer = replica.api.post("/admin/revocations", json={"scope": one.scope, "id": one.id}, headers=headers)
        except httpx2.TransportError:
            return False
        now = boot_clock()
        if answer.status_code == 503:
            return False
        assert answer.is_success, answer.text
        self.history.acknowledged[one.name] = now
        self._heard(int(answer.json()["position"].rpartition(".")[2]))
        return True

    def _heard(self, position: int) -> None:
        with self._lock:
            self._position = max(self._position, position)

    def _finish(self) -> None:
        """Revoke what could not be revoked in the drill: once all is well, it can be."""
        headers = self.world.administrator()
        for one in self._tried.values():
            if one.name not in self.history.acknowledged:
                assert self._revoke(self.world.replicas[-1], headers, one), f"{one.name} cannot be revoked any more"

    def _stop(self) -> None:
        self._ending.set()
        for driver in self._drivers:
            driver.join()

    # -- Guards

    def _statuses(self) -> list[dict[str, Any]]:
        return [guard.status() for guard in self.world.guards]

    def _all_accepted(self) -> bool:
        return all(
            len(each["outcomes"]) == GOOD + REVOKED and set(each["outcomes"].values()) == {ACCEPTED}
            for each in self._statuses()
        )

    def _spared_outcomes(self, status: dict[str, Any]) -> set[str]:
        return {outcome for name, outcome in status["outcomes"].items() if name in self._spared}

    def _is_settled(self) -> bool:
        """Whether all guards are fresh, have heard everything, and judge alike."""
        statuses = self._statuses()
        return (
            all(
                each["fresh"]
                and each["position"] >= self._position
                and all(
                    (outcome == ACCEPTED) is (name in self.history.good) for name, outcome in each["outcomes"].items()
                )
                for each in statuses
            )
            and len({(each["epoch"], each["position"]) for each in statuses}) == 1
        )
