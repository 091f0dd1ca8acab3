"""Positions and cutoffs: the one rule, and a collection that keeps the latest."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword import Position, errors
from watchword.core.cutoffs import REASONS, Cutoff, Cutoffs, Scope, judge

IDS = ["", "a", "b"]
NUMBERS = st.integers(0, 30)
CUTOFFS = st.builds(
    Cutoff, NUMBERS, st.sampled_from(Scope), st.sampled_from(IDS), st.sampled_from(["user_disabled", "token_revoked"])
)


def cut(number: int, scope: Scope = Scope.USER, id_: str = "a", reason: str = "credentials_changed") -> Cutoff:
    """A cutoff; the scope and the reason matter little to most tests."""
    return Cutoff(number, scope, id_, reason)


def contents(cutoffs: Iterable[Cutoff]) -> dict[tuple[Scope, str], int]:
    """What a collection holds."""
    return {(cutoff.scope, cutoff.id): cutoff.number for cutoff in cutoffs}


class TestPosition:
    """``epoch.number``, in one spelling."""

    @given(st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True), st.integers(0, 10**18 - 1))
    def test_round_trip(self, epoch: str, number: int) -> None:
        """Written and read again."""
        assert Position.parse(str(Position(epoch, number))) == Position(epoch, number)

    @given(st.text(max_size=40) | st.from_regex(r"[a-z.]{0,3}\.[0-9]{1,20}"))
    def test_one_spelling(self, text: str) -> None:
        """Whatever is read is written the same; everything else is a ``ValueError``."""
        try:
            position = Position.parse(text)
        except ValueError:
            return
        assert str(position) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "e",
            "e.",
            ".1",
            "e.01",
            "e.+1",
            "e.-1",
            "e. 1",
            "e.1 ",
            "e.1\n",
            "e.1.2",
            "é.1",
            "e.\u0661",
            "e" * 33 + ".1",
            "e.1" + "0" * 18,
        ],
    )
    def test_refused(self, text: str) -> None:
        """Other forms, other digits, too long."""
        with pytest.raises(ValueError, match="not a position"):
            Position.parse(text)


class TestJudge:
    """The latest of all cutoffs that apply, against the token."""

    def test_the_position_of_the_change_itself_stands(self) -> None:
        """A token that was minted at the cutoff has seen the change; one minted before has not."""
        assert judge(5, [cut(5)]) is None
        assert judge(4, [cut(5)]) == cut(5)
        assert judge(6, [cut(5)]) is None

    def test_the_latest_decides(self) -> None:
        """Whatever the order: an older cutoff never hides a newer one, nor gives its reason for it."""
        old, new = cut(3), cut(9, Scope.SESSION, "s", "session_ended")
        for order in ([old, new], [new, old], [None, new, None, old]):
            assert judge(5, order) == new
            assert judge(2, order) == new
            assert judge(9, order) is None

    def test_nothing_applies(self) -> None:
        """No cutoff, no refusal."""
        assert judge(0, []) is None
        assert judge(0, [None, None]) is None

    @given(NUMBERS, st.lists(st.none() | CUTOFFS))
    def test_naive_definition(self, number: int, cutoffs: list[Cutoff | None]) -> None:
        """A token is dead exactly if any cutoff lies after it, and a latest one is named."""
        dead = any(cutoff is not None and number < cutoff.number for cutoff in cutoffs)
        answer = judge(number, cutoffs)
        assert (answer is not None) is dead
        if answer is not None:
            assert answer in cutoffs
            assert answer.number == max(cutoff.number for cutoff in cutoffs if cutoff is not None)


class TestCutoff:
    """One entry of the log."""

    @pytest.mark.parametrize("reason", sorted(REASONS))
    def test_each_reason_has_its_refusal(self, reason: str) -> None:
        """The code of the refusal is the reason itself, and its text is not over long."""
        refusal = cut(5, reason=reason).refusal()
        assert refusal.code == reason
        assert "5" in refusal.detail
        assert len(str(refusal)) < 200

    def test_a_reason_from_the_future(self) -> None:
        """A newer authority may know more reasons: the token is dead all the same."""
        refusal = cut(5, reason="moon_phase").refusal()
        assert type(refusal) is errors.CutOff
        assert "moon_phase" in refusal.detail

    def test_every_kind_of_cut_has_a_reason(self) -> None:
        """All refusals by cutoff but those of floor and epoch can be written to the log."""
        kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.CutOff)}
        assert kinds - set(REASONS.values()) == {errors.CutOff, errors.BelowFloor, errors.FormerEpoch}


class TestCutoffs:
    """An immutable collection of the latest cutoff for each scope and id."""

    @pytest.mark.parametrize(
        ("cutoff", "applies"),
        [
            (cut(1, Scope.EVERYONE, ""), True),
            (cut(1, Scope.CLIENT, "web"), True),
            (cut(1, Scope.CLIENT, "u-1"), False),
            (cut(1, Scope.USER, "u-1"), True),
            (cut(1, Scope.USER, "u-2"), False),
            (cut(1, Scope.USER, "web"), False),
            (cut(1, Scope.SESSION, "s-1"), True),
            (cut(1, Scope.SESSION, "s-2"), False),
            (cut(1, Scope.TOKEN, "t-1"), True),
            (cut(1, Scope.TOKEN, "s-1"), False),
            (cut(1, Scope.ROLE, "editor"), True),
            (cut(1, Scope.ROLE, "author"), True),
            (cut(1, Scope.ROLE, "admin"), False),
        ],
    )
    def test_scopes(self, cutoff: Cutoff, applies: bool) -> None:
        """A cutoff concerns its own scope and id, also once it comes as an addition."""
        for cutoffs in (Cutoffs([cutoff]), Cutoffs().with_added([cutoff], 0)):
            found = list(
                cutoffs.applying(client="web", roles=["author", "editor"], subject="u-1", session="s-1", token="t-1")
            )
            assert found == ([cutoff] if applies else [])

    @given(st.lists(CUTOFFS), st.lists(st.lists(CUTOFFS), max_size=4), NUMBERS)
    def test_nothing_is_later_than_the_latest(self, first: list[Cutoff], pages: list[list[Cutoff]], floor: int) -> None:
        """Whatever was added, no cutoff is of a higher number than that."""
        cutoffs = Cutoffs(first)
        for page in pages:
            cutoffs = cutoffs.with_added(page, floor)
        assert cutoffs.latest == max((cutoff.number for part in (first, *pages) for cutoff in part), default=0)

    def test_base_and_delta_both_apply(self) -> None:
        """The newer cutoff of one user does not hide what `judge` must see, whichever came first."""
        for first, second in ((3, 9), (9, 3)):
            cutoffs = Cutoffs([cut(first)]).with_added([cut(second)], 0)
            found = cutoffs.applying(client="", roles=[], subject="a", session="", token="")
            assert judge(5, found) == cut(9)
            assert contents(cutoffs) == {(Scope.USER, "a"): 9}
            assert len(cutoffs) == 1

    @given(st.lists(CUTOFFS), st.lists(st.lists(CUTOFFS, max_size=5), max_size=5))
    def test_keeps_the_latest(self, first: list[Cutoff], pages: list[list[Cutoff]]) -> None:
        """However they come, what is held is the highest number of each scope and id."""
        cutoffs, everything = Cutoffs(first), list(first)
        for page in pages:
            cutoffs, everything = cutoffs.with_added(page, 0), everything + page
        expected: dict[tuple[Scope, str], int] = {}
        for cutoff in everything:
            key = (cutoff.scope, cutoff.id)
            expected[key] = max(cutoff.number, expected.get(key, 0))
        assert contents(cutoffs) == expected
        assert len(cutoffs) == len(expected)

    def test_immutable(self) -> None:
        """An addition is a new collection; whoever holds the old one sees no change, nor do two heirs of one."""
        old = Cutoffs([cut(1)])
        new = old.with_added([cut(2), cut(3, id_="b")], 0)
        other = old.with_added([cut(5, id_="c")], 0)
        assert contents(old) == {(Scope.USER, "a"): 1}
        assert contents(new) == {(Scope.USER, "a"): 2, (Scope.USER, "b"): 3}
        assert contents(other) == {(Scope.USER, "a"): 1, (Scope.USER, "c"): 5}

    def test_folding(self) -> None:
        """Past the limit of the delta all is folded: nothing is lost, and whoever holds an older one sees no change."""
        cutoffs = Cutoffs([cut(41, id_="first"), cut(42, id_="renewed")])
        held = []
        for number in range(100, 1700):
            held.append(cutoffs)
            cutoffs = cutoffs.with_added([cut(number, id_=f"u-{number}")], 40)
        cutoffs = cutoffs.with_added([cut(2000, id_="renewed")], 40)
        expected = {(Scope.USER, f"u-{number}"): number for number in range(100, 1700)}
        expected |= {(Scope.USER, "first"): 41, (Scope.USER, "renewed"): 2000}
        assert contents(cutoffs) == expected
        assert len(cutoffs) == len(expected)
        assert contents(held[0]) == {(Scope.USER, "first"): 41, (Scope.USER, "renewed"): 42}
        assert len(held[600]) == 602

    def test_folding_in_one_page(self) -> None:
        """A single large page is folded at once, its own repetitions included; what lies below the floor goes."""
        page = [cut(number, id_=f"u-{number % 1600}") for number in range(1, 3201)]
        cutoffs = Cutoffs([cut(5000, id_="u-1")]).with_added(page, 4500)
        assert contents(cutoffs) == {(Scope.USER, "u-1"): 5000}
        cutoffs = Cutoffs([cut(5000, id_="u-1")]).with_added(page, 1610)
        assert len(cutoffs) == 1600
        assert contents(cutoffs)[Scope.USER, "u-1"] == 5000

    def test_a_storm_that_goes_on(self) -> None:
        """However long, no more is held than can be alive, a quarter and two deltas; and all that is alive."""
        cutoffs, window, looked_through = Cutoffs(), 1000, 0
        for number in range(1, 6000):
            before, floor = cutoffs._base, max(0, number - window)
            cutoffs = cutoffs.with_added([cut(number, id_=f"u-{number}")], floor)
            assert len(cutoffs) <= 1.25 * window + 2 * 512
            looked_through += len(cutoffs._base) < len(before)
        assert {number for number in contents(cutoffs).values() if number > floor} == set(range(floor + 1, number + 1))
        assert looked_through < 12

    def test_after_a_storm(self) -> None:
        """Where only the floor moves, old cutoffs go too, in few steps; and all of them once none can be alive."""
        cutoffs = Cutoffs(cut(number, id_=f"u-{number}") for number in range(1, 10_001))
        held, steps = cutoffs, 0
        for floor in range(10_000):
            then = held.with_added([], floor)
            steps += then is not held
            held = then
            assert 10_000 - floor <= len(held) <= 1.25 * (10_000 - floor) + 512
        assert steps < 20
        empty = held.with_added([], 10_000)
        assert (len(empty), list(empty), empty.latest) == (0, [], 10_000)
        assert len(cutoffs) == 10_000


def test_since() -> None:
    """What came after a number is found wherever it is held, each once, and nothing else."""
    held, added = Cutoffs(Cutoff(number, Scope.USER, f"u{number}", "signed_out") for number in range(1, 11)), 2000
    for number in range(11, added + 1):
        held = held.with_added([Cutoff(number, Scope.SESSION, f"s{number}", "session_ended")], 0)
        assert [cutoff.number for cutoff in held.since(number - 1)] == [number]
        assert not list(held.since(number))
    for number in (0, 5, 10, 500, added - 1):
        assert sorted(cutoff.number for cutoff in held.since(number)) == list(range(number + 1, added + 1))


def test_since_with_one_that_replaces_another() -> None:
    """The same scope and id again is the later one."""
    held = Cutoffs([Cutoff(1, Scope.USER, "ada", "signed_out")]).with_added(
        [Cutoff(2, Scope.USER, "ada", "user_disabled")], 0
    )
    assert [cutoff.reason for cutoff in held.since(1)] == ["user_disabled"]
