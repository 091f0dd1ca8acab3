"""A guard in a process of its own, which judges the same tokens over and over and keeps what it decided, and when.

Its settings are the first argument; commands come as lines of JSON on standard input, and each has one answer. Times
are of the boot clock, which all processes of a machine share, and are taken before the decision: an acceptance was
decided at that time or later.
"""

import json
import math
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from time import time
from typing import Any, Final

import msgspec

from watchword import Guard, Refused
from watchword.guard.source import boot_clock

PACE: Final = 0.02
"""Seconds between two rounds."""
RARELY: Final = 20
"""A token that was refused is judged again in one of so many rounds: a refusal is dear, as nothing remembers it."""
ACCEPTED: Final = "accepted"
STALE: Final = "guard_stale"
WRONGLY_STALE: Final = "guard_stale while it was fresh"
PASSING: Final = frozenset({ACCEPTED, STALE, "guard_not_ready"})


class Options(msgspec.Struct, frozen=True):
    """What a watcher is started with."""

    issuer: str
    audience: str
    feed: list[str]
    client_id: str
    client_secret: str
    max_staleness: float
    max_lifetime: float


class Spell(msgspec.Struct, array_like=True):
    """A run of decisions about one token that came out the same."""

    outcome: str
    first: float
    last: float
    count: int = 1


@dataclass
class Watcher:
    """Judges all tokens that it was told, in rounds."""

    options: Options
    shift: float = 0.0
    tokens: dict[str, str] = field(default_factory=dict)
    spells: dict[str, list[Spell]] = field(default_factory=dict)
    rounds: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        options = self.options
        self.guard = Guard(
            options.issuer,
            audience=options.audience,
            feed=options.feed,
            client_id=options.client_id,
            client_secret=options.client_secret,
            max_staleness=timedelta(seconds=options.max_staleness),
            max_lifetime=timedelta(seconds=options.max_lifetime),
            clock=lambda: time() + self.shift,
        )
        self.guard.start()

    def judge_all(self) -> None:
        """One round."""
        self.rounds += 1
        known = self._known_as_of()
        fresh, self.fresh = self.fresh, boot_clock() - known <= self.options.max_staleness
        for number, (name, token) in enumerate(self.tokens.items(), self.rounds):
            spells = self.spells[name]
            if spells and spells[-1].outcome != ACCEPTED and number % RARELY and fresh is self.fresh:
                continue
            asked, outcome = self._judge(token, known)
            if spells and spells[-1].outcome == outcome:
                spells[-1].last = asked
                spells[-1].count += 1
            else:
                spells.append(Spell(outcome, asked, asked))

    def _known_as_of(self) -> float:
        """How old its knowledge is at most, as a time; it can only become younger."""
        before = boot_clock()
        staleness = self.guard.status().staleness
        return -math.inf if staleness is None else before - staleness

    def _judge(self, token: str, known: float) -> tuple[float, str]:
        asked = boot_clock()
        try:
            self.guard.verify(token)
        except Refused as refusal:
            outcome = refusal.code
        else:
            return asked, ACCEPTED
        if outcome == STALE and boot_clock() - known <= self.options.max_staleness:
            return asked, WRONGLY_STALE
        return asked, outcome

    # -- Commands

    def watch(self, tokens: dict[str, str]) -> None:
        """Judge these from now on; what was watched before is forgotten."""
        self.tokens, self.spells = tokens, {name: [] for name in tokens}

    def shift_clock(self, seconds: float) -> None:
        """Move the wall clock that the guard sees."""
        self.shift = seconds

    def status(self) -> dict[str, Any]:
        """What the guard knows, and how it judges each token now."""
        status: dict[str, Any] = msgspec.to_builtins(self.guard.status())
        return status | {"outcomes": {name: spells[-1].outcome for name, spells in self.spells.items() if spells}}

    def history(self) -> dict[str, Any]:
        """All decisions."""
        decisions: dict[str, Any] = msgspec.to_builtins(self.spells)
        return decisions


def commands() -> Iterator[dict[str, Any] | None]:
    """The next command, or None where there is none after a moment; ends with standard input."""
    lines = queue.SimpleQueue[str]()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=PACE)
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield json.loads(line)


def main() -> None:
    """Judge until standard input ends."""
    watcher = Watcher(msgspec.json.decode(sys.argv[1], type=Options))
    verbs: dict[str, Callable[..., Any]] = {
        verb.__name__: verb for verb in (watcher.watch, watcher.shift_clock, watcher.status, watcher.history)
    }
    for command in commands():
        if command is not None:
            sys.stdout.write(json.dumps(verbs[command["do"]](*command["with"])) + "\n")
            sys.stdout.flush()
        watcher.judge_all()


if __name__ == "__main__":
    main()
