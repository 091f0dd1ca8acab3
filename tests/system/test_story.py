"""Every step of the story, over HTTP, against real processes; and the table that the demo prints of it."""

from contextlib import nullcontext

import pytest
from examples import story
from examples.stage import Stage
from examples.steps import STEPS, Row, Rows, Step, missing_roles, one_token_revoked


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_of_the_story_goes_as_told(stage: Stage, step: Step) -> None:
    """Each line of the story's table got what it expected."""
    rows = list(step(stage))
    assert rows
    assert [(row.step, row.got) for row in rows] == [(row.step, row.expected) for row in rows]


def _lies(stage: Stage) -> Rows:
    """A step that does not go as expected."""
    yield Row("a guard that lets everybody in", "401 token_revoked", "200", 15_000.0)


def _breaks(stage: Stage) -> Rows:
    """A step that cannot be played to its end."""
    yield Row("so far", "200", "200")
    stage.administrator("DELETE", "/users/nobody")


@pytest.mark.parametrize(
    ("steps", "status", "verdict"),
    [
        ((missing_roles, one_token_revoked), 0, "all as expected"),
        ((_lies, one_token_revoked), 1, "1 NOT as expected"),
        ((_breaks, one_token_revoked), 1, "1 NOT as expected"),
    ],
)
def test_the_demo_ends_with_0_only_if_every_step_is_as_expected(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: tuple[Step, ...],
    status: int,
    verdict: str,
) -> None:
    """A step that fails or breaks off is in the table, and so are those after it."""
    monkeypatch.setattr(story, "open_stage", lambda _: nullcontext(stage))
    monkeypatch.setattr(story, "STEPS", steps)
    assert story.main() == status
    printed = capsys.readouterr().out
    assert verdict in printed
    assert "token_revoked" in printed
