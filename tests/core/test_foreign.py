"""Cutoffs of other issuers' tokens: one rule by time, and a collection that forgets nothing but below its floor."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword import errors
from watchword.core.cutoffs import REASONS, Scope
from watchword.core.foreign import NO_FOREIGN, ForeignCutoff, ForeignCutoffs

HERE, THERE = "https://id.example", "https://other.example/realms/a"
_NAMES = {"client": "client", "subject": "user", "session": "session", "token": "token"}
_BLANK: dict[str, Any] = {"subject": "", "client": "", "session": "", "roles": (), "token": ""}


def cut(
    before: int, scope: Scope = Scope.USER, id_: str = "a", issuer: str = HERE, reason: str = "signed_out"
) -> ForeignCutoff:
    """A cutoff; scope, reason and issuer matter little to most tests."""
    return ForeignCutoff(issuer, scope, id_, before, reason)


def verdict(cutoffs: ForeignCutoffs, issued_at: float, issuer: str = HERE, **facts: Any) -> errors.Refused | None:
    """What is said of a token with these facts and no others."""
    return cutoffs.judge(issuer, issued_at=issued_at, **(_BLANK | facts))


@st.composite
def _cutoffs(draw: st.DrawFn) -> ForeignCutoff:
    scope = draw(st.sampled_from(Scope))
    id_ = "" if scope is Scope.EVERYONE else draw(st.sampled_from(["a", "b"]))
    return cut(draw(st.integers(1, 20)), scope, id_, draw(st.sampled_from([HERE, THERE])))


_FACTS = st.fixed_dictionaries(
    {
        **{fact: st.sampled_from(["", "a", "b"]) for fact in _NAMES},
        "roles": st.lists(st.sampled_from(["a", "b"]), max_size=2),
    }
)
_STEPS = st.lists(st.tuples(st.lists(_cutoffs(), max_size=4), st.integers(0, 20)), max_size=5)


def _dead(cutoffs: Iterable[ForeignCutoff], floor: int, issuer: str, issued_at: float, facts: dict[str, Any]) -> bool:
    """The definition: any cutoff of the issuer that concerns the token, or the floor, is not before it."""
    concerned = {("everyone", "")} | {("role", role) for role in facts["roles"]}
    concerned |= {(_NAMES[fact], facts[fact]) for fact in _NAMES if facts[fact]}
    applying = [one.before for one in cutoffs if one.issuer == issuer and (one.scope, one.id) in concerned]
    return any(issued_at <= before for before in applying) or 0 < floor >= issued_at


@given(_STEPS, st.sampled_from([HERE, THERE]), st.floats(0.5, 22), _FACTS)
def test_however_it_was_learned_it_decides_by_the_definition(
    steps: Sequence[tuple[list[ForeignCutoff], int]], issuer: str, issued_at: float, facts: dict[str, Any]
) -> None:
    """Whatever the order in which cutoffs and floors came; and what was learned is never taken back."""
    held, told, floor, dead = NO_FOREIGN, list[ForeignCutoff](), 0, False
    for new, rises in steps:
        held = held.with_added(new, rises)
        told, floor, before = [*told, *new], max(floor, rises), dead
        dead = held.judge(issuer, issued_at=issued_at, **facts) is not None
        assert dead is _dead(told, floor, issuer, issued_at, facts)
        assert dead or not before
        assert held.floor == floor
        assert all(one.before > floor for one in held)


def test_the_same_second_falls() -> None:
    """``iat <= before`` is refused, a fraction of a second before the next one included."""
    held = ForeignCutoffs([cut(100)])
    refusals = [verdict(held, at, subject="a") for at in (99, 100, 100.0, 100.5, 101)]
    assert [refusal is not None for refusal in refusals] == [True, True, True, False, False]
    assert verdict(held, float("nan"), subject="a") is not None


def test_nothing_is_refused_without_a_cutoff() -> None:
    """Not even a token that says it was issued in 1970: a floor of 0 is none."""
    assert verdict(NO_FOREIGN, 0, subject="a") is None
    assert verdict(ForeignCutoffs([cut(5)]), 0, subject="b") is None


def test_another_issuers_user_of_that_name_is_somebody_else() -> None:
    """And a slash at the end of an issuer makes nobody else of it: an operator's slip must not spare anybody."""
    held = ForeignCutoffs([cut(100), cut(50, issuer=f"{THERE}/")])
    assert [verdict(held, 60, issuer, subject="a") is not None for issuer in (HERE, f"{HERE}/", THERE)] == [
        True,
        True,
        False,
    ]
    assert verdict(held, 50, THERE, subject="a") is not None


def test_the_latest_reason_is_told() -> None:
    """Of several that apply the latest decides and answers; the text names neither issuer nor subject."""
    held = ForeignCutoffs([cut(100), cut(90, Scope.EVERYONE, "", reason="everything_expired")])
    refusal = verdict(held, 80, subject="a")
    assert isinstance(refusal, errors.SignedOut)
    assert (HERE in str(refusal), "'a'" in str(refusal)) == (False, False)
    assert isinstance(verdict(held, 80, subject="b"), errors.EverythingExpired)


@pytest.mark.parametrize("reason", [*REASONS, "something_new"])
def test_every_reason_is_a_refusal(reason: str) -> None:
    """A reason that a newer authority gives cuts off all the same."""
    refusal = verdict(ForeignCutoffs([cut(5, reason=reason)]), 5, subject="a")
    assert isinstance(refusal, errors.CutOff)
    assert refusal.code == (reason if reason in REASONS else "cut_off")


def test_the_floor_refuses_what_it_forgot() -> None:
    """Everything issued at it or earlier, of any issuer; what comes later is judged as ever."""
    held = ForeignCutoffs([cut(10), cut(30)]).with_added([], 20)
    assert [one.before for one in held] == [30]
    assert isinstance(verdict(held, 20, "https://never.heard.example"), errors.BelowFloor)
    assert isinstance(verdict(held, 20, subject="a"), errors.SignedOut)
    assert [verdict(held, at, subject="b") is None for at in (20, 20.5, 21)] == [False, True, True]


def test_since() -> None:
    """What came after an earlier collection, whatever of it is held; of strangers, or after long, nobody knows."""
    first = ForeignCutoffs([cut(10)])
    second = first.with_added([cut(30), cut(20, id_="b")], 0)
    third = second.with_added([cut(25)], 15).with_added([cut(40, issuer=THERE)], 15)
    assert first.since(first) == []
    assert sorted(one.before for one in second.since(first) or ()) == [20, 30]
    assert sorted(one.before for one in third.since(first) or ()) == [20, 25, 30, 40]
    assert sorted(one.before for one in third.since(second) or ()) == [25, 40]
    assert first.since(second) is None
    assert third.since(ForeignCutoffs([cut(10)])) is None
    assert third.since(first.with_added([cut(30)], 0)) is None


def test_since_is_bounded() -> None:
    """What is remembered of additions is little, and what is not is never passed over in silence."""
    held = [NO_FOREIGN]
    for number in range(1, 200):
        held.append(held[-1].with_added([cut(number)], 0))
    for number in range(200):
        news = held[-1].since(held[number])
        assert (news is None) is (number < 199 - 64)
        assert news is None or sorted(one.before for one in news) == list(range(number + 1, 200))
    large = held[-1].with_added([cut(300, id_=f"{number}") for number in range(1000)], 0)
    assert large.since(held[-1]) is None
    assert large.with_added([cut(400)], 0).since(large) == [cut(400)]


def test_what_is_held_never_changes() -> None:
    """Whoever reads goes on with what it has; nothing new gives the very same object."""
    held = ForeignCutoffs([cut(10), cut(10, issuer=THERE)])
    later = held.with_added([cut(30)], 0)
    assert ([one.before for one in held], [one.before for one in later]) == ([10, 10], [30, 10])
    assert held.with_added([], 0) is held
    assert len(held.with_added([cut(5)], 0)) == 2
    assert held.with_added([cut(5)], 0).with_added([], 10).floor == 10
