"""Every step of the story, over HTTP, against real processes."""

import pytest
from examples.stage import Stage
from examples.steps import STEPS, Step


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_of_the_story_goes_as_told(stage: Stage, step: Step) -> None:
    """Each line of the story's table got what it expected."""
    rows = list(step(stage))
    assert rows
    assert [(row.step, row.got) for row in rows] == [(row.step, row.expected) for row in rows]
