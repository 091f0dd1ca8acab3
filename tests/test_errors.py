"""Every refusal has a stable code, a public sentence and a text that is short."""

import copy
import pickle
import re

import pytest

from watchword import errors
from watchword.errors import Refused

REFUSALS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused)),
    key=lambda kind: kind.code,
)


def test_codes_are_unique() -> None:
    """One code names one class."""
    assert len({kind.code for kind in REFUSALS}) == len(REFUSALS) > 40


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.code)
class TestEachRefusal:
    """What holds for every class."""

    def test_code_is_its_own(self, kind: type[Refused]) -> None:
        """A class inherits no code, and a code is lower case with underscores."""
        assert "code" in vars(kind)
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)

    def test_sentence_is_a_sentence(self, kind: type[Refused]) -> None:
        """The public sentence begins with a capital, ends with a full stop and stays on one line."""
        assert re.fullmatch(r"[A-Z][^\n]{10,120}\.", kind.sentence)

    def test_is_documented(self, kind: type[Refused]) -> None:
        """Each class says when it is raised."""
        assert (vars(kind)["__doc__"] or "").strip()

    def test_status_fits_its_kind(self, kind: type[Refused]) -> None:
        """Refusals are 4xx, and 503 where we cannot know; 500 is for bugs; a token earns 401 ``invalid_token``."""
        assert kind.status == 503 or 400 <= kind.status < 500 or kind.code == "internal_error"
        if issubclass(kind, errors.InvalidToken):
            assert (kind.status, kind.challenge) == (401, "invalid_token")
        if issubclass(kind, errors.Unknowing):
            assert (kind.status, kind.challenge) == (503, None)

    def test_text_is_short(self, kind: type[Refused]) -> None:
        """However long the detail, the text stays under 200 characters and begins with the code."""
        text = str(kind("x" * 10_000))
        assert text.startswith(f"{kind.code}: xxx")
        assert text.endswith("…")
        assert len(text) < 200

    def test_survives_copies(self, kind: type[Refused]) -> None:
        """A refusal can cross a process boundary whole."""
        refusal = kind("why", retry_after=3, missing=["editor"])
        for twin in (copy.copy(refusal), pickle.loads(pickle.dumps(refusal))):  # noqa: S301 - our own bytes
            assert type(twin) is kind
            assert (twin.detail, twin.retry_after, twin.public) == ("why", 3, {"missing": ["editor"]})


def test_without_a_detail_the_text_is_the_code() -> None:
    """No colon without something after it."""
    assert str(errors.NoToken()) == "no_token"


def test_a_short_detail_stays_whole() -> None:
    """Only what is too long is cut."""
    assert errors.Expired("expired 3 s ago").detail == "expired 3 s ago"


def test_a_detail_is_not_public() -> None:
    """Detail and public members never mix."""
    refusal = errors.NotPermitted("user u-1 lacks a role", missing="editor")
    assert "u-1" not in repr(refusal.public)
    assert "u-1" not in refusal.sentence
