"""The process that serves: how it starts, what it writes, how it ends; and what is around it."""

import json
import signal
import socket
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any

import pytest
from tests.cli.world import PASSWORD, SECONDS, Server, Terminal, Watchword

Serve = Callable[..., Server]


def _password(place: Path) -> str:
    text = (place / "watchword.first-administrator").read_text()
    return text.partition("one-time password: ")[2].strip()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_a_signal_is_a_clean_end(serve: Serve, ending: signal.Signals) -> None:
    """Exit code 0, no traceback, and the database's side files are merged and gone."""
    run = serve().end(ending)
    assert run.code == 0, run.err
    assert "Traceback" not in run.err
    assert not list(Path.cwd().glob("*-wal"))


def test_without_a_terminal_the_first_password_goes_to_a_file_and_no_log(serve: Serve, place: Path) -> None:
    """A file that its owner alone may read; the log names the file, and neither stream the password."""
    run = serve("--json").end(signal.SIGINT)
    path, password = place / "watchword.first-administrator", _password(place)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(password) == 24
    assert password not in run.out + run.err
    assert path.name in run.err


def test_on_a_terminal_the_first_password_is_shown_once(terminal: Callable[..., Terminal], place: Path) -> None:
    """The first start shows it and writes no file; the second shows none."""
    first = terminal("init")
    assert first.end() == 0
    assert first.shown.count("one-time password: ") == 1
    assert not (place / "watchword.first-administrator").exists()
    second = terminal("init")
    assert second.end() == 0
    assert "one-time password" not in second.shown


def test_every_line_of_the_log_is_json(serve: Serve, watchword: Watchword) -> None:
    """With --json, or where there is no terminal; decisions carry their fields."""
    server = serve("--json", WATCHWORD_LOG_LEVEL="debug")
    watchword("status", "--url", server.url, "--as", "nobody")
    lines = [json.loads(line) for line in server.end(signal.SIGINT).err.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    decisions = [line for line in lines if line["logger"] == "watchword.decisions"]
    assert decisions
    assert all({"decision", "code", "path"} <= line.keys() for line in decisions)


def test_log_level_is_obeyed(serve: Serve) -> None:
    """At `error` a start and an end in good order write nothing."""
    run = serve(WATCHWORD_LOG_LEVEL="error").end(signal.SIGINT)
    assert (run.code, run.err) == (0, "")


def test_a_taken_port_is_one_line(start: Callable[..., Any]) -> None:
    """Exit code 1, and an error that names the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("serve", "--port", str(taken.getsockname()[1]), WATCHWORD_LOG_LEVEL="error")
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "address already in use" in err
    assert err.count("\n") == 1


def test_unusable_settings_are_one_line(watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and the setting's name."""
    monkeypatch.setenv("WATCHWORD_ACCESS_LIFETIME", "soon")
    for words in (("serve",), ("init",), ("status",)):
        run = watchword(*words)
        assert run.code == 2
        assert "access_lifetime" in run.err
        assert run.err.count("\n") == 1


def test_a_second_start_finds_the_data(serve: Serve, watchword: Watchword) -> None:
    """What was added while it served is there when it serves again."""
    first = serve()
    assert watchword("user", "add", "ada").code == 0
    first.end(signal.SIGTERM)
    serve()
    assert watchword("user", "show", "ada", "--json").answer["username"] == "ada"


def test_init_makes_what_serve_would_make(watchword: Watchword, place: Path) -> None:
    """Once; a second time it says that all was there, and changes nothing."""
    made = watchword("init", "--json").answer
    assert made["created"] is True
    assert made["first_administrator"]["username"] == "admin"
    assert Path(made["first_administrator"]["password_file"]).read_text().startswith("user name: admin\n")
    again = watchword("init", "--json").answer
    assert again == {"database": made["database"], "created": False, "first_administrator": None}


def test_serve_acts_here_only(watchword: Watchword) -> None:
    """--url beside a command of this machine is a misuse."""
    for words in (
        ("serve",),
        ("init",),
        ("config", "show"),
        ("openapi",),
        ("token", "mint", "--user=a", "--audience=b"),
    ):
        assert watchword("--url", "https://auth.example", *words).code == 2


def test_config_show_names_the_source_and_hides_secrets(
    watchword: Watchword, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting, where it comes from, and never a secret."""
    secret = "s" * 40
    monkeypatch.setenv("WATCHWORD_SECRET", secret)
    (place / "watchword.toml").write_text("refresh_days = 7\n")
    run = watchword("config", "show", "--json", "--database", "sqlite:///other.db")
    rows = {item["name"]: (item["value"], item["from"]) for item in run.answer["items"]}
    assert rows["refresh_days"] == (7, "watchword.toml")
    assert rows["database"] == ("sqlite:///other.db", "command line")
    assert rows["algorithm"] == ("ES256", "environment")
    assert rows["port"] == (8000, "default")
    assert rows["secret"] == ("(set)", "environment")
    assert secret not in run.out + run.err + watchword("config", "show").out


def test_config_check_says_what_is_wrong(database: Path, watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 for what can be used, 1 with the reason for what cannot."""
    assert watchword("config", "check", "--json").answer["ok"] is True
    monkeypatch.setenv("WATCHWORD_SECRET", "another secret of at least 32 characters")
    run = watchword("config", "check")
    assert run.code == 1
    assert "another secret" in run.err
    assert run.err.count("\n") == 1


def test_config_check_before_the_first_start_makes_nothing(watchword: Watchword, place: Path) -> None:
    """It looks, and leaves the folder as it was."""
    assert watchword("config", "check").code == 0
    assert not list(place.iterdir())


def test_openapi_needs_no_database(watchword: Watchword, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document, under the issuer of the settings."""
    monkeypatch.setenv("WATCHWORD_ISSUER", "https://auth.example")
    document = watchword("openapi").answer
    assert document["servers"] == [{"url": "https://auth.example"}]
    assert "/admin/users" in document["paths"]
    assert not list(place.iterdir())


def test_a_file_that_is_no_database_is_one_line(watchword: Watchword, place: Path) -> None:
    """Exit code 1 and the file's name."""
    (place / "junk.db").write_text("certainly no database")
    (place / "junk.secret").write_text("x" * 40)
    (place / "junk.secret").chmod(0o600)
    run = watchword("status", "--database", "sqlite:///junk.db")
    assert run.code == 1
    assert "junk.db" in run.err
    assert run.err.count("\n") == 1


def test_a_new_secret_opens_everything(database: Path, watchword: Watchword, place: Path) -> None:
    """The file holds another secret than before, and the keys go on signing."""
    before = (place / "watchword.secret").read_text()
    assert watchword("secret", "rotate", "--json").answer["wrapped"] == 4
    after = (place / "watchword.secret").read_text()
    assert not set(before.split()) & set(after.split())
    assert watchword("token", "mint", "--user", "admin", "--audience", "http://127.0.0.1:8000").code == 0


def test_recovery_begins_a_new_history(database: Path, watchword: Watchword) -> None:
    """Another epoch; as a clone another instance too; and it is asked for."""
    before = watchword("status", "--json").answer
    assert watchword("recover").code == 2
    began = time()
    recovered = watchword("recover", "--yes", "--json").answer
    after = watchword("status", "--json").answer
    assert after["position"] == recovered["position"]
    assert began + 60 <= recovered["foreign_floor"] <= time() + 61
    assert after["position"].partition(".")[0] != before["position"].partition(".")[0]
    assert after["instance"] == before["instance"]
    run = watchword("recover", "--clone", "--yes")
    assert run.code == 0
    assert "; other issuers' tokens are refused up to 20" in run.out
    assert watchword("status", "--json").answer["instance"] != before["instance"]


def _sound_alarm(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE head SET alarm = 'a guard has seen 7, the log ends at 5'")


def test_a_lost_history_is_named_until_it_is_recovered(
    database: Path, watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands say why they do nothing and what to run, and never recover by themselves."""
    monkeypatch.setenv("WATCHWORD_AUTO_RECOVER", "true")
    _sound_alarm(database)
    problem = watchword("status", "--json").problem
    assert problem["code"] == "history_lost"
    assert "a guard has seen 7" in problem["reason"]
    assert "watchword recover" in problem["hint"]
    assert watchword("recover", "--yes").code == 0
    assert watchword("status").code == 0


def test_a_move_without_a_loss_keeps_the_history(database: Path, watchword: Watchword) -> None:
    """The same position as before, with nobody asked to sign in; never as a clone, and not where a loss is proven."""
    before = watchword("status", "--json").answer
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE head SET identity = 'another'")
    assert "was on another" in watchword("status", "--json").problem["reason"]
    assert watchword("recover", "--lossless", "--clone", "--yes").code == 2
    assert watchword("recover", "--lossless").code == 2
    assert watchword("recover", "--lossless", "--yes", "--json").answer == {"position": before["position"]}
    assert watchword("status", "--json").answer == before
    _sound_alarm(database)
    assert "a guard has seen 7" in watchword("recover", "--lossless", "--yes", "--json").problem["reason"]


def test_a_lost_history_is_named_from_elsewhere_too(
    administrator: str, database: Path, serve: Serve, watchword: Watchword
) -> None:
    """Not only that the authority cannot check the administrator's own token."""
    _sound_alarm(database)
    server = serve(probe="/livez")
    there = ("--url", server.url, "--as", administrator, "--password-stdin")
    assert watchword(*there, "status", "--json", given=PASSWORD + "\n").problem["code"] == "history_lost"
    assert "watchword recover" in server.end(signal.SIGTERM).err


def test_a_server_that_shall_recovers_by_itself(database: Path, serve: Serve, watchword: Watchword) -> None:
    """It is ready without an operator, at another epoch than before."""
    before = watchword("status", "--json").answer["position"]
    _sound_alarm(database)
    server = serve(WATCHWORD_AUTO_RECOVER="true")
    after = watchword("status", "--json").answer["position"]
    assert after.partition(".")[0] != before.partition(".")[0]
    assert "began by itself" in server.end(signal.SIGTERM).err
