"""The machine can find what it looks for: each design that is known to break the promise is found."""

import pytest
from tests.promise.controls import CONTROLS, Control, machine_of
from tests.promise.promise import Broken
from tests.promise.run import run

FOUND = (
    "accepting before the first snapshot",
    "a mint that reads its subject and the head in two snapshots",
    "positions used again, with no epoch and no mark",
    "an answer from memory",
    "an answer from a standby",
    "a withdrawn key judged by the token's own position",
)


@pytest.mark.parametrize("control", [CONTROLS[name] for name in FOUND], ids=FOUND)
def test_a_broken_design_is_found(control: Control) -> None:
    """A token is accepted that no guard may accept, in one of a few hundred runs."""
    with control.broken(), pytest.raises(Broken, match="accepted"):
        run(machine_of(control), 500)
