"""The other issuers of a guard: who judges which token, and how their keys are kept current."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from watchword.core.compact import unverified_issuer
from watchword.core.grants import Grants
from watchword.guard.foreign_keys import ForeignKeys
from watchword.guard.foreign_trust import ForeignTrust
from watchword.guard.key_fetcher import KeyFetcher, KeySource
from watchword.guard.other_issuer import OtherIssuer
from watchword.guard.seen import Seen
from watchword.guard.source import Source


@dataclass(frozen=True, slots=True)
class OtherStatus:
    """What a guard knows of another issuer, for an operator.

    ``fresh`` is whether its keys are young enough to verify with. ``staleness`` is their age in seconds, None before
    the first. ``keys`` are names, and ``ambiguous`` those that it gives to several keys at once, none of which is used.
    """

    issuer: str
    fresh: bool
    staleness: float | None
    keys: list[str]
    ambiguous: list[str]
    last_error: str | None


@final
class Others:
    """Those whom a guard trusts beside its authority. Without any, nothing runs."""

    def __init__(
        self,
        others: Iterable[OtherIssuer],
        own: str | None,
        *,
        grants: Grants,
        source: Source,
        seen: Seen,
        clock: Callable[[], float],
        follow: Callable[[OtherIssuer], ForeignKeys] = ForeignKeys,
    ) -> None:
        """``ValueError`` for two of one name; ``own`` is the authority's."""
        self._keys: list[ForeignKeys] = []
        self._trusts: dict[str | None, ForeignTrust] = {}
        sources = []
        for other in others:
            if other.issuer in self._trusts or other.issuer == own:
                raise ValueError(f"two issuers of the name {other.issuer!r}")
            keys = follow(other)
            trust = ForeignTrust(other, grants, keys, source, seen, wake=self._wake, clock=clock)
            self._trusts[other.issuer] = trust
            self._keys.append(keys)
            if other.keys is None:
                sources.append(KeySource(other, keys))
        self._fetcher = KeyFetcher(sources)

    def trust(self, token: str) -> ForeignTrust | None:
        """Who judges a token: that its ``iss`` is true is for them to find out. None for none of these."""
        return self._trusts.get(unverified_issuer(token))

    def start(self) -> None:
        """Begin to follow their keys."""
        self._fetcher.start()

    def stop(self) -> None:
        """End that."""
        self._fetcher.stop()

    def wait(self, timeout: float) -> None:
        """Block until each was asked once, at most ``timeout`` seconds."""
        self._fetcher.wait(timeout)

    def keys(self) -> tuple[object, ...]:
        """Another value as soon as other keys verify, or some are too old to: compare it with an earlier one."""
        return tuple((known.keys, keys.too_old(known)) if (known := keys.known) else None for keys in self._keys)

    def status(self) -> tuple[OtherStatus, ...]:
        """What is known of each at this moment."""
        return tuple(map(_status, self._keys))

    def _wake(self) -> None:
        self._fetcher.wake()

    def __len__(self) -> int:
        return len(self._trusts)


def _status(keys: ForeignKeys) -> OtherStatus:
    known, error = keys.known, keys.last_error
    if known is None:
        return OtherStatus(keys.issuer, False, None, [], [], error)
    names = [key.kid for key in known.keys]
    return OtherStatus(keys.issuer, not keys.too_old(known), keys.age(known), names, list(keys.ambiguous), error)
