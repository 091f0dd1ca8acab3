"""Cutoffs for tokens of other issuers: what was issued up to when (design: their tokens have no position).

Only time orders a token of another issuer and a cutoff, so that ``iat <= before`` is refused: what was issued in the
same second falls with what was issued before it, and its issuer can replace it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, final

from watchword import errors
from watchword.core.cutoffs import REASONS, Scope


@dataclass(frozen=True, slots=True)
class ForeignCutoff:
    """Tokens of ``issuer`` that ``scope`` and ``id`` name and that were issued at ``before`` or earlier are dead.

    ``before`` is in whole seconds since 1970.
    """

    issuer: str
    scope: Scope
    id: str
    before: int
    reason: str

    def refusal(self) -> errors.CutOff:
        """What a token that falls under this cutoff is told; a reason of a newer authority gets the general one."""
        told = f"cut off up to {self.before} for {self.scope}: {self.reason}"
        return REASONS.get(self.reason, errors.CutOff)(told)

    def is_of(self, issuer: str) -> bool:
        """Whether it is about that issuer's tokens."""
        return _name(self.issuer) == _name(issuer)


_OfIssuer = dict[tuple[str, str], ForeignCutoff]  # by a scope's text and an id
_STEPS: Final = 64  # additions that are remembered: more than come while one who looks for news is away
_LARGEST: Final = 512  # cutoffs that are added at once, and remembered as that


@final
class ForeignCutoffs:
    """An immutable collection of the cutoffs of all other issuers: the latest for each issuer, scope and id.

    Tokens issued at ``floor`` (whole seconds since 1970; 0 for none) or earlier are refused whatever they say: the
    cutoffs from there are forgotten. Each takes 350 bytes; adding copies what is held of the issuers concerned, which
    takes some milliseconds for 100,000, and an authority keeps no more.
    """

    __slots__ = ("_by_issuer", "_mark", "_steps", "floor")

    floor: int

    def __init__(self, cutoffs: Iterable[ForeignCutoff] = (), floor: int = 0) -> None:
        self._by_issuer: dict[str, _OfIssuer] = {}
        self._mark = object()  # of this one, which those that come from it name
        self._steps: tuple[tuple[object, list[ForeignCutoff]], ...] = ()  # the mark of each before, and what came then
        self.floor = floor
        self._add(cutoffs)

    def with_added(self, cutoffs: Iterable[ForeignCutoff], floor: int) -> "ForeignCutoffs":
        """A new collection with these added and all forgotten that the floor makes needless; the same one if none.

        Nothing is ever taken back: a floor that is lower changes nothing, nor does an earlier ``before``.
        """
        new, floor = list(cutoffs), max(self.floor, floor)
        if not new and floor == self.floor:
            return self
        added = ForeignCutoffs((), floor)
        if floor > self.floor:
            above = {issuer: _above(floor, held) for issuer, held in self._by_issuer.items()}
            added._by_issuer = {issuer: held for issuer, held in above.items() if held}
        else:
            concerned = {_name(cutoff.issuer) for cutoff in new}
            held_by = self._by_issuer.items()
            added._by_issuer = {issuer: dict(held) if issuer in concerned else held for issuer, held in held_by}
        added._add(new)
        if len(new) <= _LARGEST:
            added._steps = (*self._steps[1 - _STEPS :], (self._mark, new))
        return added

    def since(self, before: "ForeignCutoffs") -> list[ForeignCutoff] | None:
        """What was added since an earlier collection, from which this one has come; None if nobody remembers."""
        if before._mark is self._mark:
            return []
        added: list[ForeignCutoff] = []
        for mark, new in reversed(self._steps):
            added += new
            if mark is before._mark:
                return added
        return None

    def judge(
        self,
        issuer: str,
        *,
        subject: str,
        client: str,
        session: str,
        roles: Iterable[str],
        token: str,
        issued_at: float,
    ) -> errors.Refused | None:
        """Hold a verified token of another issuer against floor and cutoffs: its refusal, or None if it stands.

        The one rule: the latest of all that apply, against ``iat`` (seconds since 1970). An empty text stands for a
        fact that the token lacks. A slash at the end of an issuer makes no other issuer of it here.
        """
        latest: ForeignCutoff | None = None
        held = self._by_issuer.get(_name(issuer))
        if held is not None:
            keys = [("everyone", ""), ("client", client), ("user", subject), ("session", session), ("token", token)]
            keys += [("role", role) for role in roles]
            applying = [held[key] for key in keys if key in held]
            latest = max(applying, key=lambda cutoff: cutoff.before, default=None)
        if latest is not None and not issued_at > latest.before:
            return latest.refusal()
        if self.floor and not issued_at > self.floor:
            return errors.BelowFloor(f"of another issuer and issued at {issued_at}, the floor is {self.floor}")
        return None

    def _add(self, cutoffs: Iterable[ForeignCutoff]) -> None:
        for cutoff in cutoffs:
            if cutoff.before <= self.floor:
                continue
            held = self._by_issuer.setdefault(_name(cutoff.issuer), {})
            key = (cutoff.scope.value, cutoff.id)
            known = held.get(key)
            if known is None or known.before < cutoff.before:
                held[key] = cutoff

    def __iter__(self) -> Iterator[ForeignCutoff]:
        for held in self._by_issuer.values():
            yield from held.values()

    def __len__(self) -> int:
        return sum(map(len, self._by_issuer.values()))


def _above(floor: int, held: _OfIssuer) -> _OfIssuer:
    return {key: cutoff for key, cutoff in held.items() if cutoff.before > floor}


def _name(issuer: str) -> str:
    return issuer.rstrip("/")


NO_FOREIGN: Final = ForeignCutoffs()
"""Nothing is known to be revoked of any other issuer."""
