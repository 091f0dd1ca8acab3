"""Positions and cutoffs: what was minted before what (design: order by positions, not by clocks).

A cutoff says "no token of this scope that was minted before this position stands". One function, `judge`, decides for
guards and for refreshes alike.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, final

from watchword import errors

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,32})\.(0|[1-9][0-9]{0,17})")
_FOLD_LIMIT = 512  # cutoffs in the delta before it is folded into a new base: bounds the copy that each page costs
_NEEDLESS = 1.25  # times as many as can be alive, and a delta more, are held before all are looked through


class Position(NamedTuple):
    """A place in the authority's log: a number within an epoch, one unbroken history."""

    epoch: str
    number: int

    @staticmethod
    @lru_cache(1024)
    def parse(text: str) -> "Position":
        """Read ``epoch.number``; ``ValueError`` for anything else.

        Between two changes every token has the same position, so that the last ones are kept.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError("not a position")
        return Position(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


class Scope(StrEnum):
    """Whom a cutoff concerns."""

    EVERYONE = "everyone"
    CLIENT = "client"
    ROLE = "role"
    USER = "user"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a scope's name


REASONS: Final[Mapping[str, type[errors.CutOff]]] = MappingProxyType(
    {
        refusal.code: refusal
        for refusal in (
            errors.CredentialsChanged,
            errors.UserDisabled,
            errors.UserDeleted,
            errors.RolesChanged,
            errors.SessionEnded,
            errors.SignedOut,
            errors.TokenRevoked,
            errors.ClientRevoked,
            errors.EverythingExpired,
        )
    }
)
"""Why a cutoff was made: the code of the refusal that it brings."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """One entry of the log: tokens of ``scope`` and ``id`` minted before ``number`` are dead, and why."""

    number: int
    scope: Scope
    id: str
    reason: str

    def refusal(self) -> errors.CutOff:
        """What a token that falls under this cutoff is told; a reason of a newer authority gets the general one."""
        return REASONS.get(self.reason, errors.CutOff)(f"cut off at {self.number} for {self.scope}: {self.reason}")


def judge(number: int, cutoffs: Iterable[Cutoff | None]) -> Cutoff | None:
    """The one rule: the latest of all cutoffs that apply, against the number at which the token was minted.

    Give every cutoff that applies (None for "no such"); the answer is the cutoff that kills the token, or None.
    """
    latest: Cutoff | None = None
    for cutoff in cutoffs:
        if cutoff is not None and (latest is None or latest.number < cutoff.number):
            latest = cutoff
    return latest if latest is not None and number < latest.number else None


_Key = tuple[str, str]  # a scope's text, as hashing a member of an enum costs more than all the rest, and an id


@final
class Cutoffs:
    """An immutable collection of living cutoffs: the latest for each scope and id.

    Held as a large base that copies share and a small delta, so that a new cutoff costs a copy of the delta only; the
    two are folded into a new base every few hundred. What the floor has made needless goes when it is a fifth of all or
    so: to look through 100,000 takes some milliseconds.
    """

    __slots__ = ("_base", "_base_latest", "_delta", "latest")

    latest: int
    """No cutoff here is of a higher number: what was minted at it or later stands."""

    def __init__(self, cutoffs: Iterable[Cutoff] = ()) -> None:
        self._base: dict[_Key, Cutoff] = {}
        self._delta: dict[_Key, Cutoff] = {}
        _keep_latest(self._base, cutoffs)
        self.latest = self._base_latest = _highest(self._base.values())

    def with_added(self, cutoffs: Iterable[Cutoff], floor: int) -> "Cutoffs":
        """A new collection with these added; what the floor makes needless goes soon.

        As each number is one entry's, no more than ``latest - floor`` can be alive.
        """
        new, base, delta = list(cutoffs), self._base, dict(self._delta)
        _keep_latest(delta, new)
        latest = max(self.latest, _highest(new))
        if latest <= floor:
            base, delta = {}, {}
        elif len(base) + len(delta) > _NEEDLESS * (latest - floor) + _FOLD_LIMIT:
            base, delta = _above(floor, _folded(base, delta)), {}
        elif len(delta) > _FOLD_LIMIT:
            base, delta = _folded(base, delta), {}
        elif not new:
            return self
        added = Cutoffs()
        added._base, added._delta, added.latest = base, delta, latest
        added._base_latest = self._base_latest if base is self._base else latest
        return added

    def applying(self, *, client: str, roles: Iterable[str], subject: str, session: str, token: str) -> list[Cutoff]:
        """Every cutoff that concerns a token with these facts; an empty text stands for a fact that it lacks."""
        keys = [("everyone", ""), ("client", client), ("user", subject), ("session", session), ("token", token)]
        keys += [("role", role) for role in roles]
        found = [self._base[key] for key in keys if key in self._base]
        if self._delta:
            found += [self._delta[key] for key in keys if key in self._delta]
        return found

    def since(self, number: int) -> Iterator[Cutoff]:
        """Those of a higher number, in no order: out of the small delta, and of the base only if it has such."""
        for held, latest in ((self._base, self._base_latest), (self._delta, self.latest)):
            if latest > number:
                yield from (cutoff for cutoff in held.values() if cutoff.number > number)

    def __iter__(self) -> Iterator[Cutoff]:
        return iter(_folded(self._base, self._delta).values())

    def __len__(self) -> int:
        return len(self._base) + sum(key not in self._base for key in self._delta)


def _folded(base: dict[_Key, Cutoff], delta: dict[_Key, Cutoff]) -> dict[_Key, Cutoff]:
    both = dict(base)
    _keep_latest(both, delta.values())
    return both


def _above(floor: int, held: dict[_Key, Cutoff]) -> dict[_Key, Cutoff]:
    return {key: cutoff for key, cutoff in held.items() if cutoff.number > floor}


def _highest(cutoffs: Iterable[Cutoff]) -> int:
    return max((cutoff.number for cutoff in cutoffs), default=0)


def _keep_latest(target: dict[_Key, Cutoff], cutoffs: Iterable[Cutoff]) -> None:
    for cutoff in cutoffs:
        key = (cutoff.scope.value, cutoff.id)
        known = target.get(key)
        if known is None or known.number < cutoff.number:
            target[key] = cutoff
