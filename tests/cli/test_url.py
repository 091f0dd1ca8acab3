"""Acting on a running authority: the same answers as on its database, and a sign-in for this command only."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import free_port
from tests.cli.world import PASSWORD, Server, Terminal, Watchword

STDIN = PASSWORD + "\n"


@pytest.fixture
def server(administrator: str, serve: Callable[..., Server]) -> Server:
    """An authority that serves the test's database."""
    return serve()


@pytest.fixture
def there(server: Server, administrator: str, watchword: Watchword) -> Watchword:
    """Run a command on the server, over HTTP."""

    def run(*words: str, given: str = "") -> object:
        place = ("--url", server.url, "--as", administrator, "--password-stdin")
        return watchword(*place, *words, given=STDIN + given)

    return run  # type: ignore[return-value]  # a Run


READING = [
    ("user", "list"),
    ("user", "show", "root"),
    ("role", "list"),
    ("audience", "list"),
    ("client", "list"),
    ("client", "show", "watchword"),
    ("key", "list"),
]
REFUSED = [
    ("user", "show", "nobody"),
    ("user", "add", "root"),
    ("user", "add", "Ada"),
    ("role", "delete", "administrator", "--yes"),
    ("client", "add", "shop", "--grant", "everything"),
    ("session", "end", "nothing"),
    ("key", "withdraw", "nothing"),
    ("revoke", "role", "nothing"),
]


def test_both_ways_give_the_same_answers(there: Watchword, watchword: Watchword, server: Server, place: Path) -> None:
    """Here on the database, there over HTTP: lists, single things, refusals, and what was changed a moment ago."""
    here = ("--config", _config(place, server))
    for words in READING:
        assert there(*words, "--json").answer == watchword(*here, *words, "--json").answer, words
    for words in REFUSED:
        one, other = there(*words, "--json"), watchword(*here, *words, "--json")
        assert (one.code, other.code) == (1, 1), words
        assert one.problem == other.problem, words
    assert there("user", "add", "ada").code == 0
    assert watchword(*here, "user", "show", "ada").code == 0
    assert watchword(*here, "user", "disable", "ada").code == 0
    assert there("user", "show", "ada", "--json").answer["disabled"] is True


def _config(place: Path, server: Server) -> str:
    path = place / "same.toml"
    path.write_text(f'issuer = "{server.url}"\n')
    return str(path)


def test_the_session_ends_with_the_command(there: Watchword) -> None:
    """Signed in, asked, signed out: only this command's own session is seen, and the next sees one again."""
    assert len(there("session", "list", "--json").answer["items"]) == 1
    shown = there("session", "list", "--json").answer["items"]
    assert [item["label"] for item in shown] == ["watchword command line"]


def test_sign_in_and_new_password_are_two_lines(there: Watchword, server: Server, watchword: Watchword) -> None:
    """The first line is the password of --as, the next the one that the command asks for."""
    assert there("user", "add", "ada", "--password-stdin", given="another good password\n").code == 0
    run = watchword(
        "--url", server.url, "--as", "ada", "--password-stdin", "user", "list", given="another good password\n"
    )
    assert run.code == 1
    assert "[not_permitted]" in run.err


def test_a_wrong_password_is_refused(server: Server, administrator: str, watchword: Watchword) -> None:
    """One line with the code; the password is not in it, nor in the server's log."""
    wrong = "wrong password, certainly"
    run = watchword("--url", server.url, "--as", administrator, "--password-stdin", "status", given=wrong + "\n")
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert "[sign_in_failed]" in run.err
    log = server.end(signal.SIGINT).err
    assert "sign_in_failed" in log
    assert wrong not in run.err + log


def test_a_token_from_the_environment_will_do(
    server: Server, watchword: Watchword, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WATCHWORD_TOKEN in place of --as; a useless one is refused."""
    here = ("--config", _config(place, server))
    token = watchword(*here, "token", "mint", "--user", "root", "--audience", server.url).out.strip()
    monkeypatch.setenv("WATCHWORD_TOKEN", token)
    assert watchword("--url", server.url, "status", "--json").answer["issuer"] == server.url
    monkeypatch.setenv("WATCHWORD_TOKEN", "useless")
    run = watchword("--url", server.url, "status", "--json")
    assert run.problem["code"] == "token_malformed"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--url", "http://127.0.0.1:1"), "--as NAME"),
        (("--url", "http://auth.example", "--as", "root", "--password-stdin"), "--unsafely-allow-plain-http"),
        (("--url", "ftp://auth.example", "--as", "root"), "not an http"),
        (("--as", "root"), "belong to --url"),
    ],
)
def test_what_cannot_be_meant_is_a_misuse(watchword: Watchword, words: tuple[str, ...], reason: str) -> None:
    """Exit code 2 before anything is sent."""
    run = watchword(*words, "status", given=STDIN)
    assert run.code == 2
    assert reason in run.err


def test_nobody_there_is_one_line(watchword: Watchword) -> None:
    """Exit code 1; with --json the code is `unreachable`."""
    words = ("--url", f"http://127.0.0.1:{free_port()}", "--as", "root", "--password-stdin", "status")
    run = watchword(*words, given=STDIN)
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert watchword(*words, "--json", given=STDIN).problem["code"] == "unreachable"


def test_a_one_time_password_is_changed_on_the_way(
    database: Path, serve: Callable[..., Server], terminal: Callable[..., Terminal], watchword: Watchword
) -> None:
    """On a terminal the new password is asked for, twice and unseen; without one the refusal says what to do."""
    once = watchword("user", "reset-password", "admin", "--json").answer["one_time_password"]
    server = serve()
    words = ("--url", server.url, "--as", "admin")
    assert "[password_change_required]" in watchword(*words, "--password-stdin", "status", given=once + "\n").err
    screen = terminal(*words, "status", "--json")
    screen.expect("Password of admin")
    screen.type(once)
    screen.expect("New password")
    screen.type(PASSWORD)
    screen.expect("Repeat for confirmation")
    screen.type(PASSWORD)
    assert screen.end() == 0, screen.shown
    assert PASSWORD not in screen.shown
    assert once not in screen.shown
    assert json.loads(screen.shown[screen.shown.index("{") :])["users"] == 1
