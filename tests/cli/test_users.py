"""Users, sessions and the questions before what cannot be undone."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from tests.cli.world import PASSWORD, Server, Terminal, Watchword


def test_the_last_administrator_stays(database: Path, watchword: Watchword) -> None:
    """Neither deleted, nor disabled, nor stripped of the role: exit code 1 and the reason."""
    for words in (("delete", "admin", "--yes"), ("disable", "admin"), ("roles", "admin", "--none")):
        run = watchword("user", *words)
        assert (run.code, run.out) == (1, "")
        assert "[last_administrator]" in run.err
        assert run.err.count("\n") == 1
    assert watchword("user", "show", "admin", "--json").answer["roles"] == ["administrator"]


def test_a_one_time_password_is_shown_once(database: Path, watchword: Watchword) -> None:
    """It is on standard output, marked; a password that was given is shown nowhere."""
    run = watchword("user", "add", "ada")
    assert "one-time password (shown once): " in run.out
    given = watchword("user", "add", "bob", "--password-stdin", given=PASSWORD + "\n")
    assert given.code == 0
    assert PASSWORD not in given.out + given.err
    assert watchword("user", "show", "ada", "--json").answer["must_change"] is True
    assert watchword("user", "show", "bob", "--json").answer["must_change"] is False


def test_a_password_is_asked_for_twice(database: Path, terminal: Callable[..., Terminal], watchword: Watchword) -> None:
    """On a terminal and without echo; two that differ are asked for again."""
    screen = terminal("user", "add", "ada", "--ask-password")
    screen.expect("New password: ")
    screen.type(PASSWORD)
    screen.expect("Repeat for confirmation: ")
    screen.type("something else")
    screen.expect("do not match")
    screen.expect("New password: ")
    screen.type(PASSWORD)
    screen.expect("Repeat for confirmation: ")
    screen.type(PASSWORD)
    assert screen.end() == 0, screen.shown
    assert PASSWORD not in screen.shown
    assert watchword("user", "show", "ada", "--json").answer["must_change"] is False


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("--ask-password",), PASSWORD),
        (("--password-stdin",), ""),
        (("--password-stdin",), "\n"),
        (("--password-stdin",), "x" * 70000),
        (("--password-stdin", "--ask-password"), PASSWORD),
    ],
    ids=["no terminal", "no line", "empty", "too long", "both"],
)
def test_an_unusable_way_to_give_a_password_is_a_misuse(
    database: Path, watchword: Watchword, words: tuple[str, ...], given: str
) -> None:
    """Exit code 2, without a word of what was given."""
    run = watchword("user", "add", "ada", *words, given=given)
    assert run.code == 2
    assert not given.strip() or given[:20] not in run.err


def test_a_refused_field_is_named(database: Path, watchword: Watchword) -> None:
    """The field and the reason for a person, the problem itself for a program; the password in neither."""
    run = watchword("user", "add", "ada", "--password-stdin", given="short\n")
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert "password: " in run.err
    assert "[invalid_field]" in run.err
    assert "short" not in run.err
    problem = watchword("user", "add", "Ada", "--json").problem
    assert (problem["code"], problem["field"]) == ("invalid_field", "username")


@pytest.mark.parametrize("name", ["", ".", "..", "nobody", "ad", "a/b", "\N{SNOWMAN}"])
def test_a_name_is_that_user_or_nobody(database: Path, watchword: Watchword, name: str) -> None:
    """An empty name, a prefix or a path never stands for somebody else."""
    for words in (("user", "delete", name, "--yes"), ("user", "disable", name), ("revoke", "user", name)):
        assert watchword(*words, "--json").problem["code"] in {"not_found", "invalid_field"}
    for words in (("client", "delete", name, "--yes"), ("role", "delete", name, "--yes"), ("key", "withdraw", name)):
        assert watchword(*words, "--json").problem["code"] in {"not_found", "invalid_field"}
    assert [user["disabled"] for user in watchword("user", "list", "--json").answer["items"]] == [False]


DESTRUCTIVE = [
    ("user", "delete", "ada"),
    ("role", "delete", "editor"),
    ("client", "delete", "shop"),
    ("key", "withdraw", "--all"),
    ("revoke", "everyone"),
    ("revoke", "foreign", "everyone", "--issuer", "https://id.example"),
]


@pytest.mark.parametrize("words", DESTRUCTIVE, ids=" ".join)
def test_what_cannot_be_undone_is_asked_for(
    database: Path, watchword: Watchword, terminal: Callable[..., Terminal], words: tuple[str, ...]
) -> None:
    """Without a terminal and without --yes it is a misuse; on one, anything but yes leaves all as it was."""
    position = watchword("status", "--json").answer["position"]
    assert watchword(*words).code == 2
    screen = terminal(*words)
    screen.expect("[y/N]")
    screen.type("n")
    assert screen.end() == 1
    assert "Traceback" not in screen.shown
    assert watchword("status", "--json").answer["position"] == position


def test_yes_on_a_terminal_does_it(database: Path, terminal: Callable[..., Terminal], watchword: Watchword) -> None:
    """And the table of what stands is drawn for a person."""
    screen = terminal("revoke", "everyone")
    screen.expect("[y/N]")
    screen.type("y")
    assert screen.end() == 0
    table = terminal("revoke", "list")
    assert table.end() == 0
    assert "everything_expired" in table.shown
    assert len(watchword("revoke", "list", "--json").answer["items"]) == 1


def test_claims_are_json_or_text(database: Path, watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number stays a number; what is no JSON is a text; all can be taken away again."""
    monkeypatch.setenv("WATCHWORD_CLAIMS", "floor,team")
    assert watchword("user", "add", "ada", "--claim", "floor=3", "--claim", "team=red").code == 0
    assert watchword("user", "show", "ada", "--json").answer["claims"] == {"floor": 3, "team": "red"}
    assert watchword("user", "change", "ada", "--no-claims").code == 0
    assert watchword("user", "show", "ada", "--json").answer["claims"] == {}
    assert watchword("user", "change", "ada", "--claim", "floor").code == 2


def test_lists_go_on_where_they_ended(database: Path, watchword: Watchword) -> None:
    """--limit and --after walk a list; without them it is whole."""
    for name in ("ada", "bob", "cleo"):
        assert watchword("user", "add", name).code == 0
    names, after = [], None
    while True:
        page = watchword("user", "list", "--limit", "1", "--json", *(["--after", after] if after else [])).answer
        names += [user["username"] for user in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert names == ["ada", "admin", "bob", "cleo"]
    assert [user["username"] for user in watchword("user", "list", "--json").answer["items"]] == names
    assert [
        user["username"] for user in watchword("user", "list", "--search", "ad", "--json").answer["items"]
    ] == names[:2]


def test_the_sessions_of_a_user_end_one_by_one(
    administrator: str, serve: Callable[..., Server], watchword: Watchword, terminal: Callable[..., Terminal]
) -> None:
    """Each living session of that user, and nobody else's; by its id, too."""
    server = serve()
    for _ in range(3):
        _sign_in(server, administrator)
    sessions = watchword("session", "list", "--user", administrator, "--json").answer["items"]
    assert len(sessions) == 3
    assert watchword("session", "end", sessions[0]["id"]).code == 0
    assert watchword("revoke", "session", sessions[1]["id"]).code == 0
    screen = terminal("session", "end", "--user", administrator)
    assert screen.end() == 0
    assert "1 sessions of root ended" in screen.shown
    assert watchword("session", "list", "--json").answer["items"] == []
    assert watchword("session", "end").code == 2


def _sign_in(server: Server, name: str) -> None:
    body = {"username": name, "password": PASSWORD, "client_id": "watchword", "audience": server.url}
    body["label"] = "a \u202edeceiving\u200e one"
    assert httpx2.post(f"{server.url}/login", json=body).status_code == 200


def test_a_label_cannot_steer_the_terminal(
    administrator: str, serve: Callable[..., Server], watchword: Watchword, terminal: Callable[..., Terminal]
) -> None:
    """Anybody who signs in chooses a label: what turns writing around reaches neither a table nor a pipe nor JSON."""
    _sign_in(serve(), administrator)
    screen = terminal("session", "list")
    assert screen.end() == 0
    assert "\u202e" not in screen.shown
    assert "\u202e" not in watchword("session", "list").out
    assert "\u202e" not in watchword("session", "list", "--json").out
