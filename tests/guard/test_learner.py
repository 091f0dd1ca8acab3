"""The learner: what it makes of answers, whenever and in whatever order they come."""

from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword import Key
from watchword.core.feed import Behind, FeedError, Page, PageEntry, PageKey
from watchword.guard.learner import Learner, Question
from watchword.transport import TransportError

ISSUER = "https://auth.example"
KEY = Key.generate("Ed25519")


class Bench:
    """A log, a learner and the clock between them."""

    def __init__(self, *, page_size: int = 100, **settings: Any) -> None:
        self.now = 100.0
        self.head = 0
        self.page_size = page_size
        nonces = count(1)
        settings.setdefault("max_staleness", timedelta(seconds=30))
        self.learner = Learner(ISSUER, clock=lambda: self.now, nonces=lambda: f"n{next(nonces)}", **settings)

    def page(self, cursor: str | None, **changes: Any) -> bytes:
        """What the authority answers at this moment."""
        after = None if cursor is None else int(cursor)
        number = min(self.head, (after or 0) + self.page_size)
        entries = [PageEntry(n, "user", f"u{n}", "user_disabled") for n in range((after or 0) + 1, number + 1)]
        keys = [PageKey(KEY.kid, "current", KEY.public.to_jwk())] if after is None else None
        members: dict[str, Any] = {
            "issuer": ISSUER,
            "instance": "i",
            "epoch": "e",
            "after": after,
            "number": number,
            "head": self.head,
            "floor": 0,
            "entries": entries,
            "keys": keys,
            "cursor": str(number),
        }
        return Page(**(members | changes)).encode()

    def learn(self, question: Question, **changes: Any) -> bool:
        """Give the learner the answer to a question, as it is now."""
        return self.learner.learn(question, 200, [question.nonce], self.page(question.cursor, **changes))

    def known(self) -> tuple[int, float] | None:
        """How far the learner has come, and as of when."""
        known = self.learner.known
        return known and (known.knowledge.number, known.as_of)


@pytest.fixture
def bench() -> Bench:
    """With a log that is still empty."""
    return Bench()


def test_question(bench: Bench) -> None:
    """The first asks for a snapshot at once; those after it may be held for a quarter of the bound."""
    first = bench.learner.question()
    assert first.query == {"hold": "0", "nonce": "n1", "stale": "30"}
    assert bench.learn(first)
    bench.now = 101.0
    second = bench.learner.question()
    assert second.query == {"after": "0", "hold": "7.5", "nonce": "n2", "stale": "30"}
    assert (second.asked, second.seconds - first.seconds) == (101.0, 7.5)
    assert not bench.learn(second)
    named = Bench(name="web-1").learner
    assert named.question().query == {"hold": "0", "nonce": "n1", "stale": "30", "guard": "web-1"}


def test_dated_by_the_question(bench: Bench) -> None:
    """However late an answer is, it is as old as its question."""
    question = bench.learner.question()
    bench.now = 5000.0
    bench.learn(question)
    assert bench.known() == (0, 100.0)


def test_pages(bench: Bench) -> None:
    """Cutoffs count with their page; the date moves with the last of them, and nothing is shown before the first."""
    bench.page_size, bench.head = 10, 15
    assert bench.learn(bench.learner.question())
    assert bench.known() is None
    bench.now = 101.0
    assert bench.learner.question().hold == 0
    bench.learn(bench.learner.question())
    assert bench.known() == (15, 101.0)
    bench.head = 30
    bench.now = 102.0
    bench.learn(bench.learner.question())
    assert bench.known() == (25, 101.0)
    bench.now = 103.0
    bench.learn(bench.learner.question())
    assert bench.known() == (30, 103.0)


def test_an_answer_to_an_earlier_question(bench: Bench) -> None:
    """It changes nothing, not even the cursor; the latest question's answer still counts."""
    early = bench.learner.question()
    latest = bench.learner.question()
    with pytest.raises(TransportError, match="too late"):
        bench.learn(early)
    assert bench.known() is None
    bench.learn(latest)
    bench.head = 1
    held = bench.learner.question()
    with pytest.raises(TransportError, match="too late"):
        bench.learner.learn(early, 200, [early.nonce], b"junk")
    assert bench.learn(held)
    assert bench.learner.last_error is None


def test_an_answer_that_comes_twice(bench: Bench) -> None:
    """It counts once."""
    question = bench.learner.question()
    bench.learn(question)
    known = bench.learner.known
    bench.now = 200.0
    with pytest.raises(TransportError, match="too late"):
        bench.learn(question)
    assert bench.learner.known is known


@pytest.mark.parametrize("nonces", [[], ["n2"], ["n1", "n1"], ["n1", "n2"]])
def test_an_answer_to_somebody_else(bench: Bench, nonces: list[str]) -> None:
    """Without exactly our nonce it dates nothing; the true answer may still come."""
    question = bench.learner.question()
    with pytest.raises(TransportError, match="another request"):
        bench.learner.learn(question, 200, nonces, bench.page(None))
    assert bench.learner.known is None
    assert bench.learner.last_error is not None
    bench.learn(question)
    assert bench.learner.last_error is None


def test_no_page(bench: Bench) -> None:
    """An answer that is no success is named by status and code, and the cursor stays."""
    bench.learn(bench.learner.question())
    with pytest.raises(TransportError, match="answered 503 history_lost"):
        bench.learner.learn(bench.learner.question(), 503, [], b'{"code":"history_lost"}')
    assert bench.learner.last_error == "the authority answered 503 history_lost"
    again = bench.learner.question()
    assert (again.cursor, again.hold) == ("0", 0)
    bench.learn(again)
    assert bench.learner.question().hold == 7.5


@pytest.mark.parametrize("lie", [{"issuer": "https://b"}, {"after": 7}, {"number": 9}, {"epoch": "other"}])
def test_what_does_not_follow(bench: Bench, lie: dict[str, Any]) -> None:
    """A page that cannot follow what is known changes nothing of it; a snapshot is asked for next."""
    bench.learn(bench.learner.question())
    known = bench.learner.known
    bench.now = 101.0
    with pytest.raises(FeedError):
        bench.learn(bench.learner.question(), **lie)
    assert bench.learner.known is known
    question = bench.learner.question()
    assert (question.cursor, question.hold) == (None, 0)
    bench.learn(question)
    assert bench.known() == (0, 101.0)


def test_a_replica_that_is_behind(bench: Bench) -> None:
    """Its page is refused, and what comes next is asked for from the same place: another replica has it."""
    bench.head = 2
    bench.learn(bench.learner.question())
    with pytest.raises(Behind):
        bench.learn(bench.learner.question(), number=1, head=1)
    with pytest.raises(Behind):
        bench.learn(bench.learner.question(), after=None, number=1, head=1, keys=[], entries=[])
    assert bench.learner.question().cursor == "2"


@pytest.mark.parametrize("bound", [1, 2, 30, 40, 3600])
def test_one_of_two_replicas_dies(bench: Bench, bound: int) -> None:
    """At the worst moment, without a word: what is known is renewed well before it is too old."""
    bench = Bench(max_staleness=timedelta(seconds=bound))
    bench.learn(bench.learner.question())
    bench.now += 0.3 * bound
    dead = bench.learner.question()
    assert 0 < dead.hold <= bound / 4
    bench.now += dead.seconds
    bench.learner.failed("no whole answer in time")
    living = bench.learner.question()
    assert bench.now - 100.0 <= 0.751 * bound
    bench.learn(living)
    assert living.hold == 0 or bench.now - 100.0 + living.hold <= bound / 2
    assert bench.known() == (0, living.asked)


def test_patience(bench: Bench) -> None:
    """The more rounds have failed, the longer an answer may take, but never longer than is of use."""
    assert [bench.learner.question(rounds).seconds for rounds in (0, 1, 2, 3, 5000)] == [6, 12, 24, 30, 30]
    bench.learn(bench.learner.question())
    bench.now += 20
    assert [bench.learner.question(rounds).seconds for rounds in (0, 1, 2, 5000)] == [6, 12, 15, 15]
    for bound, first, longest in ((1, 2, 30), (86400, 10, 30)):
        bench = Bench(max_staleness=timedelta(seconds=bound))
        assert [bench.learner.question(rounds).seconds for rounds in (0, 9)] == [first, longest]
        bench.learn(bench.learner.question())
        bench.now += bound
        assert bench.learner.question(9).seconds == min(bound / 2, 30)


@given(st.lists(st.tuples(st.sampled_from(["ask", "grow", "answer", "answer"]), st.integers(0, 5)), max_size=60))
def test_any_order(happenings: list[tuple[str, int]]) -> None:
    """Answers late, twice or out of order: knowledge is never dated later than its question, and nothing goes back."""
    bench = Bench(page_size=2)
    asked: list[Question] = []
    answers: list[tuple[Question, int, bytes]] = []
    for what, which in happenings:
        bench.now += 1
        if what == "ask":
            asked.append(bench.learner.question())
            answers += [(asked[-1], bench.head, bench.page(asked[-1].cursor))]
        elif what == "grow":
            bench.head += which
        elif answers:
            question, head, body = answers[-1 - which % len(answers)]
            before = bench.known()
            try:
                bench.learner.learn(question, 200, [question.nonce], body)
            except (FeedError, TransportError):
                assert bench.known() == before
            after = bench.known()
            if after is not None:
                assert after >= (before or (0, 0.0))
                assert after[1] <= asked[-1].asked
                assert after == before or after[1] < question.asked or after == (head, question.asked)
