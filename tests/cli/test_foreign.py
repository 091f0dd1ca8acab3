"""``watchword revoke foreign``: other issuers' tokens, up to a second."""

from pathlib import Path
from typing import Any, Final

import pytest
from tests.cli.world import Watchword

_ISSUER: Final = "https://id.example"
_OF: Final = ("--issuer", _ISSUER)


def _listed(watchword: Watchword) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = watchword("revoke", "list", "--foreign", "--json").answer["items"]
    return items


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("1795457813", 1795457813),
        ("2026-11-24T02:00:00Z", 1795485600),
        ("2026-11-24T04:00:00+02:00", 1795485600),
        ("2026-11-24T01:59:59.25Z", 1795485600),
    ],
)
def test_a_moment_is_a_number_or_a_time_with_its_zone(
    database: Path, watchword: Watchword, text: str, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What falls into a part of a second takes the whole second."""
    monkeypatch.setattr("watchword.authority.log.foreign_revocations.AHEAD_SECONDS", 10**9)  # whatever today is
    run = watchword("revoke", "foreign", "user", "f-1", *_OF, "--before", text)
    assert run.code == 0, run.err
    assert run.out.startswith("user f-1 of https://id.example revoked up to 2026-11-2")
    (cutoff,) = _listed(watchword)
    assert (cutoff["before"], cutoff["scope"], cutoff["id"], cutoff["issuer"]) == (second, "user", "f-1", _ISSUER)


@pytest.mark.parametrize(
    "words",
    [
        ("user", "f-1"),
        ("user", *_OF),
        ("everyone", "f-1", *_OF, "--yes"),
        ("planet", "f-1", *_OF),
        *(
            ("user", "f-1", *_OF, "--before", text)
            for text in ("now", "", "2026-11-24T02:00:00", "2026-13-24T02:00:00Z", "1950-01-01T00:00:00Z", "1.5", "-1")
        ),
    ],
)
def test_a_misuse_revokes_nothing(database: Path, watchword: Watchword, words: tuple[str, ...]) -> None:
    """An issuer, an ID or a zone that is missing, an ID for everyone, another scope, no time: exit code 2."""
    run = watchword("revoke", "foreign", *words, "--json")
    assert (run.code, run.problem["code"]) == (2, "misuse")
    assert _listed(watchword) == []


def test_what_the_authority_refuses_is_told(database: Path, watchword: Watchword) -> None:
    """A future second, and a name that is no issuer's: exit code 1, and the field's name."""
    for field, words in {
        "before": ("--issuer", _ISSUER, "--before", "2999-01-01T00:00:00Z"),
        "issuer": ("--issuer", "id.example"),
    }.items():
        run = watchword("revoke", "foreign", "user", "f-1", *words, "--json")
        assert (run.code, run.problem["code"], run.problem["field"]) == (1, "invalid_field", field)
    assert _listed(watchword) == []


def test_everyone_of_an_issuer_and_the_receipts(database: Path, watchword: Watchword) -> None:
    """With --wait the answer has the receipts, as of every other revocation; the two lists are apart."""
    answer = watchword("revoke", "foreign", "everyone", *_OF, "--yes", "--wait", "--json").answer
    assert (answer["receipts"]["position"], answer["receipts"]["done"]) == (answer["position"], True)
    assert [(one["scope"], one["before"]) for one in _listed(watchword)] == [("everyone", answer["before"])]
    assert watchword("revoke", "list", "--json").answer["items"] == []
    assert watchword("revoke", "list", "--foreign").out.splitlines()[1].split("\t")[1:4] == [_ISSUER, "everyone", "-"]
