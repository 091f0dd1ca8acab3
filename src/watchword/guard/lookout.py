"""The lookout: who has a connection open, or work going on, and whose token stands no more.

Nothing is asked on the way of a message. When a source says that something else is known, and when a token ends or what
is known grows too old, those whom it may concern are found in an index and judged anew by the one who judged them
before: a cutoff that concerns nobody here is some look-ups in a dictionary, whoever many are watched.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar, final

from watchword.core.caller import Facts
from watchword.core.cutoffs import Cutoff, Scope
from watchword.core.feed import Knowledge
from watchword.core.foreign import ForeignCutoff, ForeignCutoffs
from watchword.errors import Bug, Expired, Refused, Unknowing
from watchword.forks import tell_when_forked
from watchword.guard.decisions import Decision
from watchword.guard.rules import Rule
from watchword.guard.source import Announcing, Source

TICK: Final = 1.0
"""Seconds between two looks at most: clocks are set and machines sleep, and no timer hears of either."""

_SOONEST: Final = 0.001  # seconds: a timer that comes a little before its time does not make us spin
_SLICE: Final = 50  # tokens that are judged at a time, before others on the loop have their turn

_log: Final = logging.getLogger("watchword.guard")
_Key = TypeVar("_Key")


@final
class Watch:
    """A verified token that somebody wants to hear the end of; ``end`` is called once, on the event loop.

    ``bound`` is how old, in seconds, what is known may be for it.
    """

    __slots__ = ("_lookout", "bound", "connected", "decision", "end", "facts")

    def __init__(
        self,
        lookout: "Lookout",
        decision: Decision,
        facts: Facts,
        bound: float,
        end: Callable[[Refused], None],
        connected: bool,
    ) -> None:
        self._lookout = lookout
        self.decision = decision
        self.facts = facts
        self.bound = bound
        self.end = end
        self.connected = connected

    def refusal(self) -> Refused | None:
        """Why the token stands no more, by what is known now; None if it stands."""
        return self.decision.stands(self.bound)

    def stop(self) -> None:
        """Watch it no more; again is harmless."""
        self._lookout.discard(self)


@final
class Lookouts:
    """What a guard has of lookouts: one on each event loop, for as long as anything is watched there.

    ``clock`` gives seconds since 1970, ``bound`` is the guard's own, and ``keep_stale`` is whether what is watched
    stands on knowledge of any age. ``foreign`` gives what is another value once something has changed about the keys of
    other issuers.
    """

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float],
        bound: float,
        keep_stale: bool,
        foreign: Callable[[], object] = lambda: None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._foreign = foreign
        self._bound = bound
        self._keep_stale = keep_stale
        self._on: dict[asyncio.AbstractEventLoop, Lookout] = {}
        tell_when_forked(self)

    def watch(self, decision: Decision, end: Callable[[Refused], None], *, connected: bool = False) -> Watch:
        """Watch a decision's token on the running loop; ``RuntimeError`` where none of asyncio runs.

        ``connected`` is whether it holds a connection open, which is then counted.

        What is known may have changed since the decision: judge it once more (`Watch.refusal`) after this.
        """
        loop = asyncio.get_running_loop()
        facts = decision.facts
        assert facts is not None, "only verified tokens are watched"  # noqa: S101
        lookout = self._on.get(loop)
        if lookout is None:
            lookout = self._begin(loop)
        watch = Watch(lookout, decision, facts, self._bound_of(decision.rule), end, connected)
        lookout.add(watch)
        return watch

    async def gone(self, decision: Decision) -> Refused:
        """Wait until a decision's token stands no more; why."""
        future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()

        def end(refusal: Refused) -> None:
            if not future.done():  # whoever was cancelled stops watching one turn of the loop later
                future.set_result(refusal)

        watch = self.watch(decision, end)
        try:
            return watch.refusal() or await future
        finally:
            watch.stop()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return sum(lookout.connections for lookout in list(self._on.values()))

    def _bound_of(self, rule: Rule | None) -> float:
        if self._keep_stale:
            return math.inf
        return self._bound if rule is None or rule.bound is None else rule.bound

    def _begin(self, loop: asyncio.AbstractEventLoop) -> "Lookout":
        for other in [other for other in list(self._on) if other.is_closed()]:
            ended = self._on.pop(other, None)
            if ended is not None:
                ended.close()  # it ended in the middle of its work: nobody there can say so
        lookout = self._on[loop] = Lookout(
            loop, self._source, self._clock, self._foreign, lambda: self._on.pop(loop, None)
        )
        return lookout

    def _forked(self) -> None:
        """The parent's loops do not run here."""
        self._on = {}


@final
class Lookout:
    """What is watched on one event loop. All but `_hear` runs there."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: Source,
        clock: Callable[[], float],
        foreign: Callable[[], object],
        emptied: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._source = source
        self._clock = clock
        self._foreign, self._foreign_keys = foreign, foreign()
        self._emptied = emptied
        self.connections = 0
        self._watches: set[Watch] = set()
        self._concerned: dict[tuple[str, str], set[Watch]] = {}  # by scope and id of the cutoffs that would be theirs
        self._ending: dict[int, set[Watch]] = {}  # by the second in which, or just before which, their tokens end
        self._bounds: Counter[float] = Counter()
        self._lowest = 0  # no token that is watched is from below this position
        self._doubtful: dict[Watch, None] = {}  # to be judged
        self._undecided: dict[Watch, None] = {}  # to be judged again, when more is known
        self._told = self._settling = False
        if isinstance(source, Announcing):
            source.listeners.add(self, self._hear)
        known = source.known
        self._knowledge = None if known is None else known.knowledge  # that by which all who stand were looked at
        self._timer = loop.call_later(TICK, self._tick)

    def add(self, watch: Watch) -> None:
        """Watch this one too."""
        facts = watch.facts
        if not self._watches and facts.position is not None:
            self._lowest = facts.position.number
        self._watches.add(watch)
        self.connections += watch.connected
        for key in _keys(facts):
            self._concerned.setdefault(key, set()).add(watch)
        self._ending.setdefault(math.ceil(facts.ends), set()).add(watch)
        self._bounds[watch.bound] += 1
        if facts.position is not None and facts.position.number < self._lowest:
            self._lowest = facts.position.number
        if self._wait(math.ceil(facts.ends), watch.bound) < TICK:
            self._arm()

    def discard(self, watch: Watch) -> None:
        """Watch it no more."""
        if watch not in self._watches:
            return
        self._watches.discard(watch)
        self.connections -= watch.connected
        self._doubtful.pop(watch, None)
        self._undecided.pop(watch, None)
        for key in _keys(watch.facts):
            _drop(self._concerned, key, watch)
        _drop(self._ending, math.ceil(watch.facts.ends), watch)
        self._bounds[watch.bound] -= 1
        if not self._bounds[watch.bound]:
            del self._bounds[watch.bound]
        if not self._watches:
            self.close()
            self._emptied()

    def close(self) -> None:
        """Hear of nothing any more."""
        self._timer.cancel()
        if isinstance(self._source, Announcing):
            self._source.listeners.remove(self)

    # -- When to look

    def _hear(self) -> None:
        """There is news. In the source's thread."""
        if self._told:
            return  # a look is on its way that has yet to read what is known
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._look)
        except RuntimeError:  # the loop is closed, in the middle of its work
            self.close()
            self._emptied()

    def _tick(self) -> None:
        try:
            self._look()
        finally:  # whatever goes wrong: without a timer nobody would hear of an expiry any more
            if self._watches:
                self._arm()

    def _arm(self) -> None:
        self._timer.cancel()
        wait = min(TICK, self._wait(min(self._ending), min(self._bounds)))
        self._timer = self._loop.call_later(max(wait, _SOONEST), self._tick)

    def _wait(self, ends: float, bound: float) -> float:
        """Seconds until a token that ends then ends, or what is known is older than that."""
        known = self._source.known
        fresh = math.inf if known is None else known.as_of + bound - self._source.clock()
        return min(ends - self._clock(), fresh)

    # -- Whom it concerns

    def _look(self) -> None:
        """Find all who may stand no more, and judge them."""
        self._told = False
        self._doubt(self._undecided)
        self._undecided = {}
        known, now = self._source.known, self._clock()
        if known is not None:
            before, knowledge = self._knowledge, known.knowledge
            if before is None or before.version is not knowledge.version:
                self._doubt(self._touched(before, knowledge))
                self._knowledge = knowledge
        foreign_keys = self._foreign()
        if foreign_keys != self._foreign_keys:
            self._foreign_keys = foreign_keys
            self._doubt(self._of_others())
        for ends in [ends for ends in self._ending if ends <= now]:
            self._doubt(self._ending[ends])
        age = math.inf if known is None else self._source.clock() - known.as_of
        if any(bound < age for bound in self._bounds):
            self._doubt(watch for watch in self._watches if watch.bound < age)
        if not self._settling:
            self._settle()

    def _touched(self, before: Knowledge | None, now: Knowledge) -> Iterable[Watch]:
        """Those of whom newer knowledge may say something else."""
        if (
            before is None
            or before.keys is not now.keys
            or (before.instance, before.epoch) != (now.instance, now.epoch)
            or before.number > now.number
        ):
            yield from self._watches
            return
        if now.floor > before.floor and now.floor > self._lowest:
            yield from self._below(now.floor)
        for cutoff in now.cutoffs.since(before.number):
            yield from self._under(cutoff)
        if now.foreign is not before.foreign:
            yield from self._touched_of_others(before.foreign, now.foreign)

    def _touched_of_others(self, before: ForeignCutoffs, now: ForeignCutoffs) -> Iterable[Watch]:
        new = now.since(before)
        if new is None or now.floor > before.floor:
            yield from self._of_others()
            return
        for cutoff in new:
            yield from (
                watch for watch in self._under(cutoff) if watch.facts.foreign and cutoff.is_of(watch.facts.issuer)
            )

    def _of_others(self) -> Iterator[Watch]:
        return (watch for watch in self._watches if watch.facts.foreign)

    def _below(self, floor: int) -> Iterator[Watch]:
        positions = [(watch.facts.position, watch) for watch in self._watches]
        self._lowest = min((position.number for position, _ in positions if position is not None), default=0)
        return (watch for position, watch in positions if position is not None and position.number < floor)

    def _under(self, cutoff: Cutoff | ForeignCutoff) -> Iterable[Watch]:
        if cutoff.scope is Scope.EVERYONE:
            return self._watches
        return self._concerned.get((cutoff.scope.value, cutoff.id), ())

    def _doubt(self, watches: Iterable[Watch]) -> None:
        self._doubtful.update(dict.fromkeys(watches))

    def _settle(self) -> None:
        """Judge some of those that are in doubt, the latest first, and come back for the others."""
        self._settling = False
        for _ in range(min(_SLICE, len(self._doubtful))):
            if not self._doubtful:
                break
            watch, _none = self._doubtful.popitem()
            refusal = self._refusal(watch)
            if refusal is not None:
                self.discard(watch)
                _end(watch, refusal)
        if self._doubtful:
            self._settling = True
            self._loop.call_soon(self._settle)

    def _refusal(self, watch: Watch) -> Refused | None:
        """Why a token stands no more; None if it does, or if only newer knowledge can say so and it need not wait."""
        try:
            refusal = watch.refusal()
        except Exception as bug:  # noqa: BLE001 - a mistake of ours: who cannot be judged stands no more
            _log.exception("a token that is watched could not be judged")
            return Bug(type(bug).__name__)
        if not isinstance(refusal, Unknowing) or watch.bound != math.inf:
            return refusal
        if watch.facts.ends <= self._clock():  # the key, which nobody knows now, is asked for before the time is
            return Expired("expired, on old knowledge")
        self._undecided[watch] = None
        return None


def _end(watch: Watch, refusal: Refused) -> None:
    try:
        watch.end(refusal)
    except Exception:  # noqa: BLE001 - whatever it is: the others are still to hear of theirs
        _log.exception("the end of a token could not be told")


def _keys(facts: Facts) -> Iterator[tuple[str, str]]:
    """The scopes and ids of the cutoffs that concern a token, but for those that concern everyone."""
    yield "user", facts.subject
    if facts.session is not None:
        yield "session", facts.session
    if facts.token_id is not None:
        yield "token", facts.token_id
    if facts.client is not None:
        yield "client", facts.client
    for role in facts.grant.named:
        yield "role", role


def _drop(index: dict[_Key, set[Watch]], key: _Key, watch: Watch) -> None:
    held = index[key]
    held.discard(watch)
    if not held:
        del index[key]
