"""The learner: turns the feed's answers into knowledge and dates it. No thread, no socket, no sleep."""

import contextlib
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

import msgspec

from watchword.core.encoding import NotStrict, json_object
from watchword.core.feed import Behind, FeedError, Knowledge, Page, fold
from watchword.guard.source import Known, boot_clock
from watchword.transport import TransportError

# All of it follows from the shortest bound, S: max_staleness, if no rule has a shorter one. Say that a guard follows
# one replica of several, which dies. What is known was 0.3 S old at most when the last question went there; hold and
# answer time, 0.25 S + 0.2 S, are waited for in vain; and the next replica is asked without a hold. So what is known is
# renewed at 0.75 S, or at 0.95 S if that one hangs too. One that cannot even be connected to costs 2 s at most.
_HOLD: Final = 0.25  # of the bound
_YOUNG: Final = 0.3  # of the bound: what is older is renewed without a hold
_ANSWER: Final = 0.2  # of the bound: for an answer, beyond the hold, at the first attempt
_PATIENCE: Final = 0.5  # of the longest bound: for an answer at the last attempts; one that is later is of little use
_PAUSE: Final = 0.1  # seconds between questions to an authority that has nothing new and does not hold its answers
_MAX_HOLD: Final = 10.0  # seconds; proxies cut what is silent for longer than some tens of seconds
_MAX_ANSWER: Final = 10.0  # seconds
_MAX_PATIENCE: Final = 30.0  # seconds
_MIN_BOUND: Final = 0.2  # seconds: shorter ones are not asked for more often
_MAX_DECLARED: Final = 86400.0  # seconds, as the authority takes no more
_MIN_SNAPSHOT: Final = 2.0  # seconds for a snapshot at the first attempt, however short the bound: it may be long

_log: Final = logging.getLogger("watchword.guard")


@dataclass(frozen=True, slots=True)
class Question:
    """One request to the feed: what is asked, and when it was asked by the guard's clock.

    In seconds: ``hold`` is how long the authority may wait for news, ``seconds`` how long the answer may take in all,
    ``pause`` how long after ``asked`` the next question may come if there was no news, and ``stale`` the longest bound.
    ``name`` is the guard's, empty for none.
    """

    asked: float
    nonce: str
    cursor: str | None
    hold: float
    stale: float
    seconds: float
    pause: float
    name: str

    @property
    def query(self) -> dict[str, str]:
        """The parameters of ``GET /revocations``."""
        query = {"hold": _seconds(self.hold), "nonce": self.nonce, "stale": _seconds(self.stale)}
        if self.name:
            query["guard"] = self.name
        return query if self.cursor is None else {"after": self.cursor} | query


@final
class Learner:
    """What a guard knows, and what it has to ask next.

    Ask one `question` after the other, and give each one's answer to `learn`, or what went wrong to `failed`. Answers
    may come late, twice, to an earlier question or not at all: only an answer to the latest question counts, once, and
    it is as old as its question. Each question may go to another replica. ``max_staleness`` decides how long the
    authority may hold an answer: a quarter of it, 10 seconds at most. One thread asks and learns; any may read
    ``known`` and ``last_error``.

    ``name`` is what the authority knows this guard by, when it waits for guards to confirm: another for each process,
    at most 64 characters of ``A-Z``, ``a-z``, ``0-9``, ``.``, ``_`` and ``-``.
    """

    def __init__(
        self,
        issuer: str,
        *,
        max_staleness: timedelta,
        name: str = "",
        clock: Callable[[], float] = boot_clock,
        nonces: Callable[[], str] = lambda: secrets.token_urlsafe(16),
    ) -> None:
        self._issuer = issuer
        self.name = name
        self._shortest, self._longest = math.inf, 0.0  # of the bounds that decisions have
        self._clock = clock
        self._nonces = nonces
        self.known: Known | None = None
        self.last_error: str | None = None
        self._draft: Knowledge | None = None  # what is folded so far; a long snapshot is not shown before it is whole
        self._cursor: str | None = None
        self._open: Question | None = None  # the one whose answer is awaited
        self.expect(max_staleness.total_seconds())

    def expect(self, bound: float) -> bool:
        """Some decisions rest on knowledge of up to ``bound`` seconds; whether the open question is the wrong one then.

        The shortest bound says how often to ask. The longest one is what the authority is told: for so long a guard
        that is cut off may go on.
        """
        self._shortest = min(self._shortest, max(bound, _MIN_BOUND))
        self._longest = max(self._longest, min(bound, _MAX_DECLARED))
        asked = self._open
        return asked is not None and (asked.hold > self._shortest * _HOLD or asked.stale < self._longest)

    def question(self, rounds: int = 0) -> Question:
        """What to ask now. Send it after this call: whatever it brings is dated by it.

        ``rounds`` is how often all replicas have failed in a row: each doubles the time that an answer may take.
        """
        asked, usual = self._clock(), min(self._shortest * _HOLD, _MAX_HOLD)
        hold = usual if self._may_wait(asked) else 0.0
        seconds, pause = hold + self._answer_time(rounds), min(usual, _PAUSE)
        self._open = Question(asked, self._nonces(), self._cursor, hold, self._longest, seconds, pause, self.name)
        return self._open

    def _may_wait(self, now: float) -> bool:
        """Whether the latest question brought all there was, and not long ago: only what comes is of interest."""
        if self.known is None or self._draft is None or self._cursor is None or self.last_error is not None:
            return False
        return self._draft.complete and now - self.known.as_of <= self._shortest * _YOUNG

    def _answer_time(self, rounds: int) -> float:
        first, longest = min(self._shortest * _ANSWER, _MAX_ANSWER), min(self._longest * _PATIENCE, _MAX_PATIENCE)
        if self._cursor is None:
            first, longest = max(first, _MIN_SNAPSHOT), _MAX_PATIENCE
        return min(first * 2.0 ** min(rounds, 10), longest)

    def learn(self, question: Question, status: int, nonces: Sequence[str], body: bytes) -> bool:
        """Take an answer in; whether it brought anything new.

        ``nonces`` are the values of its ``Watchword-Nonce`` fields. `TransportError` for what is no answer to this
        question, `FeedError` for one that cannot follow what is known; both leave everything known as it is.
        """
        try:
            page = self._page(question, status, nonces, body)
            self._open = None
            news = self._take(page, question.asked)
        except FeedError as why:
            if not isinstance(why, Behind):
                self._cursor = None  # a snapshot is asked for next
            self.failed(str(why))
            raise
        except TransportError as why:
            self.failed(str(why))
            raise
        if self.last_error is not None:
            self.last_error = None
            _log.info("the feed of %s is followed again", self._issuer)
        return news

    def failed(self, why: str) -> None:
        """Note that a question found no answer."""
        if self.last_error is None:  # once for each outage: the attempts that follow say nothing new
            _log.warning("the feed of %s cannot be followed: %s", self._issuer, why)
        self.last_error = why

    def _page(self, question: Question, status: int, nonces: Sequence[str], body: bytes) -> Page:
        if self._open is None or question.nonce != self._open.nonce:
            raise TransportError("an answer that comes too late: another question was asked since")
        if status != 200:
            raise TransportError(_complaint(status, body))
        if list(nonces) != [question.nonce]:
            raise TransportError("an answer to another request: something between here and the authority keeps copies")
        page = Page.decode(body)
        if page.issuer != self._issuer:
            raise FeedError("the feed of another issuer")
        return page

    def _take(self, page: Page, asked: float) -> bool:
        """Fold a page in, and show what is known if it may be seen; whether it brought anything new."""
        before, shown = self._draft, self.known
        folded = fold(before, page)
        if folded.complete:
            self.known = Known(folded, asked)
        elif shown is not None and before is shown.knowledge and page.after is not None:
            self.known = Known(folded, shown.as_of)  # more cutoffs than before, but dated as before
        self._draft, self._cursor = folded, folded.cursor
        return page.after is None or bool(page.entries) or page.keys is not None


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _complaint(status: int, body: bytes) -> str:
    """The status of an answer, and its code where it has one."""
    code: object = None
    with contextlib.suppress(NotStrict, msgspec.ValidationError):
        code = json_object(body[:10_000]).get("code")
    named = isinstance(code, str) and code.isascii() and code.isidentifier()
    return f"the authority answered {status}" + (f" {code}" if named else "")
