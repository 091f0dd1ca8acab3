"""A process with a guard: the real guard and learner, under clocks that this world moves."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.promise.history import ALARM, Chain, Event, Token
from tests.promise.replica import AUDIENCE, ISSUER, LIFETIME, Answer, place_of

from watchword import Guard
from watchword.core.feed import FeedError
from watchword.errors import Refused
from watchword.guard.learner import Learner, Question
from watchword.guard.source import Known
from watchword.transport import TransportError

if TYPE_CHECKING:
    from tests.promise.world import World

MAX_STALENESS: Final = 30.0

Teach = Callable[[Learner, Question, int, list[str], bytes], bool]


class Service:
    """A service's process. ``boot`` and ``wall`` are what its two clocks add to the true time."""

    def __init__(self, world: "World", boot: float) -> None:
        self.world = world
        self.wall = 0.0
        self.start(boot)

    def start(self, boot: float) -> None:
        """Begin anew, knowing nothing."""
        self.boot = boot
        self.learner = Learner(ISSUER, max_staleness=timedelta(seconds=MAX_STALENESS), clock=self.clock)
        self.question: Question | None = None
        self.knew: set[Event] = set()
        self.chain: Chain | None = None
        self.source = _Source(self)
        self.guard = Guard(
            ISSUER,
            audience=AUDIENCE,
            source=self.source,
            max_staleness=timedelta(seconds=MAX_STALENESS),
            max_lifetime=timedelta(seconds=LIFETIME),
            clock=self.wall_clock,
        )

    def clock(self) -> float:
        """The boot clock: it runs true, from anywhere."""
        return self.world.now + self.boot

    def wall_clock(self) -> float:
        """The clock that people set."""
        return self.world.now + self.wall

    def ask(self) -> Question:
        """What is to be asked now."""
        self.question = self.learner.question()
        return self.question

    def hear(self, question: Question, nonce: str, answer: Answer) -> bool:
        """An answer has come; whether it was of any use."""
        try:
            self.learner.learn(question, answer.status, [nonce], answer.body)
        except (FeedError, TransportError):
            return False
        known = self.source.known
        if self.strays:
            self.knew, self.chain = set(), None  # who comes back from a clone is as one who starts anew
        elif known is not None:
            self.chain = self.world.places.get(place_of(known.knowledge.cursor), self.chain)
            self.knew.update(event for event in self.chain or () if event.kind != ALARM)  # no page tells of one
        return True

    def decide(self, token: Token, pause: Callable[[], None] | None = None) -> Refused | None:
        """What the guard says to this token; ``pause`` is what happens between its reading and its last look."""
        self.source.pause = pause
        try:
            self.guard.verify(token.text)
        except Refused as why:
            return why
        return None

    @property
    def strays(self) -> bool:
        """Whether a clone of the authority is followed."""
        known = self.source.known
        return known is not None and known.knowledge.instance != self.world.instance

    @property
    def as_of(self) -> float | None:
        """The true time at which what is known here was certainly current."""
        known = self.source.known
        return None if known is None else known.as_of - self.boot

    @property
    def fresh(self) -> bool:
        """Whether decisions are taken at all."""
        return self.as_of is not None and self.world.now - self.as_of <= MAX_STALENESS


class _Source:
    """The guard's source: what the learner knows, and a clock that can be long in coming."""

    last_error: str | None = None

    def __init__(self, service: Service) -> None:
        self._service = service
        self.pause: Callable[[], None] | None = None

    @property
    def known(self) -> Known | None:
        return self._service.learner.known

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wake(self) -> None:
        pass

    def wait(self, timeout: float) -> bool:
        return self.known is not None

    def clock(self) -> float:
        pause, self.pause = self.pause, None
        if pause is not None:
            pause()
        return self._service.clock()
