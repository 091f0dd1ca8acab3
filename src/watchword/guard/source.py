"""Where a guard's knowledge comes from: the protocol, and the simplest of its kinds."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol, final, runtime_checkable

from watchword.core.cutoffs import Cutoffs, Position
from watchword.core.feed import Knowledge
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet
from watchword.errors import Refused


class Known(NamedTuple):
    """What is known, and the moment (seconds of the source's clock) at which it was certainly current."""

    knowledge: Knowledge
    as_of: float


class Source(Protocol):
    """Keeps a guard's knowledge current. All of it may be called, and read, from any thread."""

    @property
    def known(self) -> Known | None:
        """The latest knowledge: an immutable pair, swapped whole; None before the first."""

    @property
    def last_error(self) -> str | None:
        """Why the latest attempt to learn failed; None if it did not."""

    def start(self) -> None:
        """Begin to follow; again is harmless, and it can be started again after `stop`. Does no I/O itself."""

    def stop(self) -> None:
        """End promptly; what is known stays and grows old."""

    def clock(self) -> float:
        """Now, in seconds, by the clock that dates what is known."""

    def wake(self) -> None:
        """There is news: somebody has shown a token from ahead of what is known."""

    def wait(self, timeout: float) -> bool:
        """Block until the first knowledge is there, at most ``timeout`` seconds; whether it is."""


@runtime_checkable
class Paced(Protocol):
    """A `Source` that asks as often as the bounds of decisions need."""

    def expect(self, bound: float) -> None:
        """Decisions rest on knowledge of up to ``bound`` seconds, infinity included: some of them, from now on."""


@runtime_checkable
class Announcing(Protocol):
    """A `Source` that says when something else is known; of others it is noticed within a second."""

    @property
    def listeners(self) -> "Listeners":
        """Who is told, after ``known`` was swapped for something by which tokens are judged otherwise."""


@final
class Listeners:
    """Who is told of news: called in the source's thread, so each is to be quick and to raise nothing.

    There is no lock, as each step is one that Python does whole: a lock could be held for ever in a forked child.
    """

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: dict[object, Callable[[], None]] = {}

    def add(self, owner: object, call: Callable[[], None]) -> None:
        """Tell ``owner`` from now on."""
        self._calls[owner] = call

    def remove(self, owner: object) -> None:
        """Tell it no more; once more is possible, if that is on its way."""
        self._calls.pop(owner, None)

    def clear(self) -> None:
        """Tell nobody: in a forked child all of them are the parent's."""
        self._calls = {}

    def tell(self, before: Known | None, known: Known | None) -> None:
        """Tell all, if what is known differs by which tokens are judged."""
        if known is not None and (before is None or before.knowledge.version is not known.knowledge.version):
            for call in list(self._calls.values()):
                call()

    def __len__(self) -> int:
        return len(self._calls)


boot_clock: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds since some moment, by a clock that nobody sets; it counts suspends where the system has such a clock."""


@final
class FixedKeys:
    """Keys given once: nothing is followed, nothing goes stale, and nothing can be revoked."""

    last_error: str | None = None
    clock = staticmethod(boot_clock)

    def __init__(self, keys: KeySet | PublicKey | Iterable[PublicKey]) -> None:
        if isinstance(keys, PublicKey):
            keys = [keys]
        key_set = keys if isinstance(keys, KeySet) else KeySet(keys)
        self.known = Known(_KeysAlone("", "", 0, 0, 0, key_set, Cutoffs(), ""), math.inf)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def wake(self) -> None:
        """No news will ever come."""

    def wait(self, timeout: float) -> bool:  # noqa: ARG002 - the protocol's
        """Always there."""
        return True


@dataclass(frozen=True, slots=True)
class _KeysAlone(Knowledge):
    """Knowledge without a log: positions mean nothing here, so none is asked for."""

    def judge(
        self,
        position: Position | None,  # noqa: ARG002
        *,
        client: str,  # noqa: ARG002
        roles: Iterable[str],  # noqa: ARG002
        subject: str,  # noqa: ARG002
        session: str,  # noqa: ARG002
        token: str,  # noqa: ARG002
    ) -> Refused | None:
        return None
