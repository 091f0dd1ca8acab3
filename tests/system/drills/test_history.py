"""The judge of the drills finds what it is there to find."""

import pytest
from tests.system.drills.history import History
from tests.system.drills.watcher import ACCEPTED, STALE, WRONGLY_STALE, Spell


def history(*spells: Spell, revoked: float | None = None) -> History:
    """One guard's decisions about one token."""
    made = History(2.0, decisions={"guard": {"token": spells}})
    if revoked is None:
        made.good = {"token"}
    else:
        made.acknowledged = {"token": revoked}
    return made


def test_the_promise_kept_is_no_violation() -> None:
    """Accepted for as long as the bound, then unknown, then refused; and a good one, which was unknown for a while."""
    spells = Spell(ACCEPTED, 0, 12), Spell(STALE, 12, 13), Spell("token_revoked", 13, 14)
    assert not history(*spells, revoked=10).violations()
    assert not history(Spell(ACCEPTED, 0, 1), Spell(STALE, 1, 2), Spell(ACCEPTED, 2, 3)).violations()


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (history(Spell(ACCEPTED, 0, 12.1), Spell("token_revoked", 13, 14), revoked=10), "2.100 s after"),
        (history(Spell("signed_out", 9, 14), Spell(ACCEPTED, 14, 14), Spell("signed_out", 15, 15), revoked=10), "4."),
        (history(Spell(ACCEPTED, 0, 11), revoked=10), "in the end guard says accepted"),
        (history(Spell(STALE, 0, 11), revoked=10), "in the end guard says guard_stale"),
        (history(revoked=10), "in the end guard says nothing"),
        (history(Spell("token_revoked", 0, 1), Spell(ACCEPTED, 1, 2)), "which nobody revoked: token_revoked"),
        (history(Spell(WRONGLY_STALE, 0, 1), Spell(ACCEPTED, 1, 2)), "while it was fresh"),
        (history(Spell(ACCEPTED, 0, 1), Spell(STALE, 1, 2)), "in the end guard says guard_stale"),
    ],
)
def test_each_way_to_break_it_is_found(kept: History, said: str) -> None:
    """Exactly one violation each, which says what was wrong."""
    (violation,) = kept.violations()
    assert said in violation


def test_a_refusal_may_be_excused() -> None:
    """Where the drill set a guard's wall clock wrong."""
    kept = history(Spell("token_expired", 0, 1), Spell(ACCEPTED, 1, 2))
    kept.excused = {"guard": {"token_expired"}}
    assert not kept.violations()


def test_what_is_measured() -> None:
    """The last acceptance after the acknowledgement, and how long a good token was refused."""
    assert history(Spell(ACCEPTED, 0, 11), Spell("token_revoked", 12, 13), revoked=10).slowest() == 1
    assert history(Spell(ACCEPTED, 0, 9), Spell("token_revoked", 12, 13), revoked=10).slowest() is None
    assert history(Spell(ACCEPTED, 0, 1), Spell(STALE, 1, 3), Spell(ACCEPTED, 3, 4)).longest_refusal() == 2
