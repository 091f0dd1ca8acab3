"""The machine can find what it looks for: each design that is known to break the promise is found."""

import pytest
from tests.promise.controls import CONTROLS, Control, machine_of
from tests.promise.promise import Broken
from tests.promise.run import run


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_a_broken_design_is_found(control: Control) -> None:
    """A token is accepted that no guard may accept, in one of some hundred runs."""
    with control.broken(), pytest.raises(Broken, match="accepted"):
        run(machine_of(control), 3000)
