"""Facts about every command at once, so that none is forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
from tests.cli.world import PASSWORD, Watchword

from watchword.cli.main import cli

Words = tuple[str, ...]

# Each command with words that let it succeed, in this order, on a database with ada, editor, orders and shop.
SUCCEEDING: Final[dict[Words, Words]] = {
    ("init",): (),
    ("status",): (),
    ("config", "show"): (),
    ("config", "check"): (),
    ("openapi",): (),
    ("user", "list"): (),
    ("user", "show"): ("ada",),
    ("user", "add"): ("bob",),
    ("user", "change"): ("bob", "--display-name", "Bob"),
    ("user", "roles"): ("bob", "editor"),
    ("user", "disable"): ("bob",),
    ("user", "enable"): ("bob",),
    ("user", "reset-password"): ("bob",),
    ("user", "sign-out"): ("bob",),
    ("user", "delete"): ("bob", "--yes"),
    ("role", "list"): (),
    ("role", "add"): ("writer",),
    ("role", "rename"): ("writer", "author"),
    ("role", "delete"): ("author", "--yes"),
    ("audience", "list"): (),
    ("audience", "add"): ("stock",),
    ("audience", "delete"): ("stock",),
    ("client", "list"): (),
    ("client", "show"): ("shop",),
    ("client", "add"): ("till", "--grant", "client_credentials", "--audience", "orders"),
    ("client", "change"): ("till", "--name", "Till"),
    ("client", "secret"): ("till",),
    ("client", "disable"): ("till",),
    ("client", "enable"): ("till",),
    ("client", "delete"): ("till", "--yes"),
    ("session", "list"): (),
    ("session", "end"): ("--user", "ada"),
    ("token", "mint"): ("--user", "ada", "--audience", "orders"),
    ("token", "inspect"): (),
    ("token", "verify"): ("--audience", "orders"),
    ("revoke", "list"): (),
    ("revoke", "user"): ("ada",),
    ("revoke", "token"): ("some-jti",),
    ("revoke", "client"): ("shop",),
    ("revoke", "role"): ("editor",),
    ("revoke", "everyone"): ("--yes",),
    ("revoke", "foreign"): ("user", "f-1", "--issuer", "https://id.example"),
    ("key", "list"): (),
    ("key", "rotate"): (),
    ("key", "withdraw"): ("--all", "--yes"),
    ("audit",): (),
    ("guard", "list"): (),
    ("secret", "rotate"): (),
    ("recover",): ("--yes",),
}
# These need more than words: they have tests of their own.
APART: Final = {("serve",), ("revoke", "session")}


def commands(group: click.Group = cli, above: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Every command, groups left out, with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


@pytest.fixture
def world(database: Path, watchword: Watchword) -> Path:
    """A database in which every command finds what it speaks of."""
    for words in (
        ("role", "add", "editor"),
        ("audience", "add", "orders"),
        ("client", "add", "shop", "--grant", "client_credentials", "--audience", "orders"),
        ("user", "add", "ada", "--role", "editor"),
    ):
        assert watchword(*words).code == 0
    return database


def test_no_command_is_without_these_facts() -> None:
    """A new command must be entered above."""
    assert {words for words, _ in commands()} == SUCCEEDING.keys() | APART


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "plain"])
def test_every_command_does_what_it_is_told(world: Path, watchword: Watchword, *, as_json: bool) -> None:
    """Exit code 0, nothing on standard error but what belongs there, and with --json nothing but JSON."""
    token = watchword("token", "mint", "--user", "ada", "--audience", "orders").out
    for words, more in SUCCEEDING.items():
        given = token if words[0] == "token" else ""
        run = watchword(*words, *more, *(["--json"] if as_json else []), given=given)
        assert run.code == 0, f"{words}: {run.err}"
        if as_json:
            assert run.answer is not None
        assert run.out or words in {("revoke", "list"), ("session", "list")}


@pytest.mark.parametrize("words", [words for words, _ in commands() if words not in APART], ids=" ".join)
def test_every_misuse_is_told_as_such(words: Words, watchword: Watchword) -> None:
    """An option that is not there: exit code 2, and JSON if it was asked for."""
    assert watchword(*words, "--nonsense").code == 2
    run = watchword(*words, "--nonsense", "--json")
    assert (run.code, run.problem["code"]) == (2, "misuse")


@pytest.mark.parametrize(
    "words", [words for words in SUCCEEDING if words[0] not in {"init", "config", "openapi"}], ids=" ".join
)
def test_without_a_database_there_is_a_hint(words: Words, watchword: Watchword, place: Path) -> None:
    """A command that mistook the path makes no other authority, but says what to do."""
    if words == ("token", "inspect"):
        return
    run = watchword(*words, *SUCCEEDING[words], "--json", given="x\n")
    assert (run.code, run.problem["code"]) == (1, "no_database")
    assert "watchword init" in run.problem["hint"]
    assert not list(place.iterdir())


def test_every_command_says_what_it_is_for() -> None:
    """Each has a help text, and takes --json."""
    for words, command in commands():
        assert command.help, words
        assert any(parameter.name == "as_json" for parameter in command.params), words


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """What is on a command line is in the shell's history and in everybody's list of processes."""
    for words, command in [*commands(), ((), cli)]:
        for parameter in command.params:
            names = " ".join([parameter.name or "", *parameter.opts]).lower()
            if any(part in names for part in ("password", "secret", "passphrase")):
                assert isinstance(parameter, click.Option), words
                assert parameter.is_flag, (words, parameter.opts)


def test_options_of_every_command_stand_before_or_after_its_name(world: Path, watchword: Watchword) -> None:
    """Nobody has to remember on which side of the command --database and --json go."""
    before = watchword("--json", "--database", f"sqlite:///{world}", "user", "list")
    after = watchword("user", "list", "--json", "--database", f"sqlite:///{world}")
    assert before.answer == after.answer


def test_a_fault_of_ours_is_one_line_without_a_secret(
    database: Path, watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, no values: the kind of error and its place are enough to report it."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError(PASSWORD)

    monkeypatch.setattr("watchword.authority.operator.operator_token", broken)
    run = watchword("user", "add", "ada", "--password-stdin", given=PASSWORD + "\n")
    assert run.code == 1
    assert run.err.startswith("watchword: This is a fault in Watchword: KeyError")
    assert run.err.count("\n") == 1
    assert PASSWORD not in run.err
