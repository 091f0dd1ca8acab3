"""The keys of another issuer: what is known of them, how old it is, and when to ask again. No thread, no socket."""

import logging
import math
import random
from collections.abc import Callable
from typing import Final, NamedTuple, final

from watchword.core.keyset import KeySet
from watchword.core.published import Published, SecretPublished, read_published
from watchword.guard.other_issuer import OtherIssuer
from watchword.guard.source import boot_clock

MAX_FETCH: Final = 10.0
"""Seconds that a fetch may take in all; keys are no older than ``refresh`` and this while all is well."""

_SPREAD: Final = 0.9  # of an interval at least: guards that start together do not go on together

_log: Final = logging.getLogger("watchword.guard")


class Pace(NamedTuple):
    """How often a source of keys is asked at most, in seconds.

    ``early`` lies between two fetches, once keys are known, whatever happens: four a minute. ``first`` and ``longest``
    are the pauses after failures before that, each twice the one before.
    """

    early: float = 15.0
    first: float = 1.0
    longest: float = 60.0


PACE: Final = Pace()


class KnownKeys(NamedTuple):
    """Keys, and the moment (seconds of the clock that never goes back) at which they were certainly current."""

    keys: KeySet
    as_of: float


@final
class ForeignKeys:
    """What is known of one issuer's keys.

    One thread calls `begin`, and then `learn` or `fail`; any may call the rest. Strangers can show unknown keys by the
    thousand: `want` brings the next fetch forward, but never closer than ``early`` to the one before. So a new key of
    the issuer's works within that time, whatever strangers show meanwhile.
    """

    def __init__(self, other: OtherIssuer, *, clock: Callable[[], float] = boot_clock, pace: Pace = PACE) -> None:
        self.issuer = other.issuer
        self.known = None if other.keys is None else KnownKeys(other.key_set(), math.inf)
        self.last_error: str | None = None
        self.ambiguous: tuple[str, ...] = ()
        self.tried = self.known is not None
        self._followed = self.known is None
        self._refresh = other.refresh.total_seconds()
        self._keep = other.keep.total_seconds()
        self._clock = clock
        self._pace = pace
        self._ended: float | None = None  # the latest fetch
        self._next = 0.0  # seconds after that
        self._failures = 0
        self._wanted = False

    @property
    def left(self) -> float:
        """Seconds until the next fetch; less than none if it is overdue."""
        if not self._followed:
            return math.inf
        if self._ended is None:
            return -math.inf
        return self._ended + (min(self._next, self._pace.early) if self._wanted else self._next) - self._clock()

    def want(self) -> bool:
        """A key is shown that is not known; whether nobody has asked for it yet since the latest fetch."""
        if self._wanted or not self._followed:
            return False
        self._wanted = True
        return True

    def begin(self) -> float:
        """A fetch begins; the moment of it, which dates what it brings."""
        self._wanted = False
        return self._clock()

    def learn(self, document: bytes, asked: float) -> None:
        """Take in a JWK Set that was asked for at that moment.

        All keys that are not in it stop working. A set that gives secrets away takes all keys with it.
        """
        try:
            published = read_published(document)
        except SecretPublished as why:
            self.known = None
            self.fail(str(why))
            return
        except ValueError as why:
            self.fail(str(why))
            return
        self._take(published, asked)
        if self.last_error is not None:
            _log.info("the keys of %s are followed again", self.issuer)
        self._done(None)

    def fail(self, why: str) -> None:
        """Note that a fetch brought nothing: what is known works on, until it is too old."""
        if self.last_error is None:  # once for each outage: the attempts that follow say nothing new
            _log.warning("the keys of %s cannot be fetched: %s", self.issuer, why)
        self._done(why)

    def age(self, known: KnownKeys) -> float:
        """How long ago these were certainly current, in seconds."""
        return max(0.0, self._clock() - known.as_of)

    def too_old(self, known: KnownKeys) -> bool:
        """Whether these verify nothing any more."""
        return self._clock() - known.as_of > self._keep

    def overdue(self, known: KnownKeys) -> bool:
        """Whether there may be newer keys than these, as far as that can be helped: an unknown key is no verdict."""
        return self.last_error is not None or self._clock() - known.as_of > self._refresh + MAX_FETCH

    def _take(self, published: Published, asked: float) -> None:
        keys, before = published.keys, self.known
        if before is not None and _by_name(before.keys) == _by_name(keys):
            keys = before.keys  # what was verified under them need not be verified again
        if published.ambiguous and published.ambiguous != self.ambiguous:
            _log.warning("%s publishes several keys of one name, none of which is used: %s", self.issuer, published[1])
        if not keys and (before is None or before.keys):
            _log.warning("%s publishes no key that can be used", self.issuer)
        self.known, self.ambiguous = KnownKeys(keys, asked), published.ambiguous

    def _done(self, error: str | None) -> None:
        self.last_error, self.tried, self._ended = error, True, self._clock()
        if error is None:
            self._failures, usual = 0, self._refresh
        else:
            self._failures += 1
            usual = min(self._pace.first * 2.0 ** min(self._failures - 1, 10), self._pace.longest)
        self._next = usual * random.uniform(_SPREAD, 1)
        if self.known is not None:
            self._next = max(self._next, self._pace.early)


def _by_name(keys: KeySet) -> dict[str, dict[str, str]]:
    """In no order: some servers list theirs in another one each time."""
    return {key["kid"]: key for key in keys.to_jwks()["keys"]}
