"""What was done and decided in a drill, and whether the promise was kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.system.drills.watcher import ACCEPTED, PASSING, STALE, Spell

UNDECIDED: Final = PASSING - {ACCEPTED}
"""Refusals that say nothing about the token."""

Decisions = Mapping[str, Sequence[Spell]]
"""A guard's, by token."""


@dataclass
class History:
    """Times are of the boot clock, in seconds; tokens and guards are called by their names."""

    bound: float
    """``max_staleness`` of the guards."""
    good: set[str] = field(default_factory=set)
    """The tokens that nobody tried to revoke."""
    acknowledged: dict[str, float] = field(default_factory=dict)
    """When the answer to a token's revocation had come."""
    decisions: dict[str, Decisions] = field(default_factory=dict)
    """By guard."""
    excused: dict[str, set[str]] = field(default_factory=dict)
    """Refusals of good tokens, by guard, that are no fault of its own: its wall clock was wrong."""

    def violations(self) -> list[str]:
        """Every decision that breaks the promise, in words."""
        return [*self._too_late(), *self._wrongly_refused(), *self._undecided()]

    def slowest(self) -> float | None:
        """The longest time from an acknowledgement to the last acceptance after it; None if there was none after."""
        return max((late for late, _, _ in self._acceptances() if late > 0), default=None)

    def longest_refusal(self) -> float:
        """The longest time for which a guard refused a good token as it knew too little."""
        return max(
            (
                spell.last - spell.first
                for decisions in self.decisions.values()
                for token in self.good
                for spell in decisions.get(token, ())
                if spell.outcome == STALE
            ),
            default=0.0,
        )

    def _acceptances(self) -> Iterator[tuple[float, str, str]]:
        """The last acceptance of each revoked token by each guard: seconds after the acknowledgement, guard, token."""
        for guard, decisions in self.decisions.items():
            for token, acknowledged in self.acknowledged.items():
                for spell in decisions.get(token, ()):
                    if spell.outcome == ACCEPTED:
                        yield spell.last - acknowledged, guard, token

    def _too_late(self) -> Iterator[str]:
        for late, guard, token in self._acceptances():
            if late > self.bound:
                yield f"{guard} accepted {token} {late:.3f} s after its revocation was acknowledged"

    def _wrongly_refused(self) -> Iterator[str]:
        for guard, decisions in self.decisions.items():
            fair = PASSING | self.excused.get(guard, set())
            for token in self.good:
                for spell in decisions.get(token, ()):
                    if spell.outcome not in fair:
                        yield f"{guard} refused {token}, which nobody revoked: {spell.outcome}"

    def _undecided(self) -> Iterator[str]:
        """After all, each guard has a verdict on each token, and the verdict is right."""
        for guard, decisions in self.decisions.items():
            for token in (*self.good, *self.acknowledged):
                spells = decisions.get(token)
                last = spells[-1].outcome if spells else "nothing"
                if (last == ACCEPTED) is not (token in self.good) or last in UNDECIDED or not spells:
                    yield f"in the end {guard} says {last} about {token}"
