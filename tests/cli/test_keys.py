"""Keys from the command line, and words that no request can carry."""

from pathlib import Path

import pytest
from tests.cli.world import Watchword


def _states(watchword: Watchword) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in watchword("key", "list", "--json").answer["items"]}


def test_a_withdrawn_key_makes_room_for_another(database: Path, watchword: Watchword) -> None:
    """Withdrawing the current one lets the next sign at once; there always is a next one."""
    kids = {state: kid for kid, state in _states(watchword).items()}
    assert watchword("key", "withdraw", kids["current"]).code == 0
    states = _states(watchword)
    assert states[kids["current"]] == "withdrawn"
    assert states[kids["next"]] == "current"
    assert sorted(states.values()) == ["current", "next", "withdrawn"]


def test_a_rotation_that_is_too_early_says_how_long_to_wait(database: Path, watchword: Watchword) -> None:
    """Exit code 1 and the seconds; the keys are as before."""
    assert watchword("key", "rotate").code == 0
    before = _states(watchword)
    problem = watchword("key", "rotate", "--json").problem
    assert (problem["code"], 0 < problem["wait_seconds"] <= 310) == ("key_too_new", True)
    assert _states(watchword) == before


def test_withdrawing_names_one_key_or_all(database: Path, watchword: Watchword) -> None:
    """Neither and both are a misuse, and change nothing."""
    before = _states(watchword)
    assert watchword("key", "withdraw").code == 2
    assert watchword("key", "withdraw", next(iter(before)), "--all", "--yes").code == 2
    assert _states(watchword) == before


@pytest.mark.parametrize("words", [("user", "add", "ada", "--display-name"), ("role", "add"), ("client", "show")])
def test_an_argument_that_is_no_text_is_a_misuse(database: Path, watchword: Watchword, words: tuple[str, ...]) -> None:
    """Bytes that are not UTF-8: exit code 2, in one line."""
    run = watchword(*words, "a\udcff")
    assert (run.code, run.err.count("\n")) == (2, 1)
