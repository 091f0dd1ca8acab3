"""Drills: the authority's database goes back to a backup, while a service follows."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from examples.processes import WATCHWORD, database, eventually
from examples.stage import Stage, Tokens, open_stage, told
from tests.system.settings import FAST

SECONDS = 30.0


@contextmanager
def _stage(folder: Path, **environ: str) -> Iterator[Stage]:
    quick = {"WATCHWORD_ALGORITHM": "ES256", "ARTICLES_MAX_STALENESS": "3"}
    with open_stage(folder, FAST | quick | environ) as stage:
        yield stage


def _back_up(stage: Stage) -> Path:
    backup = stage.data / "backup.db"
    with closing(sqlite3.connect(stage.data / "watchword.db")) as connection:
        connection.execute("VACUUM INTO ?", [str(backup)])
    return backup


def _restore(stage: Stage, backup: Path) -> None:
    """Lose the disk, and start again from the backup."""
    stage.authority_process.kill()
    for file in stage.data.glob("watchword.db*"):
        file.unlink()
    shutil.copy(backup, stage.data / "watchword.db")
    stage.authority_process.start()
    stage.authority_process.wait_until_ready("/livez")


def _command(stage: Stage, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run ``watchword`` on the database, as its operator."""
    environ = os.environ | FAST | {"WATCHWORD_DATABASE": database(stage.data)}
    return subprocess.run([WATCHWORD, *words], env=environ, cwd=stage.data, capture_output=True, text=True, check=False)


def _end(stage: Stage, tokens: Tokens) -> None:
    """End a session, and wait until the service has heard of it."""
    stage.administrator("DELETE", f"/sessions/{tokens.claims['sid']}")
    assert told(stage.first_refusal(tokens.access)[0]) == "401 session_ended"


def test_a_restored_backup_lets_nobody_in_until_it_is_recovered(tmp_path: Path) -> None:
    """A guard proves the loss; the feed closes and says why; the guard grows too old; recovery lets new tokens in."""
    with _stage(tmp_path) as stage:
        user = stage.add_user("editor")
        old = stage.sign_in(user)
        backup = _back_up(stage)
        _end(stage, stage.sign_in(user))
        _restore(stage, backup)

        assert eventually(lambda: told(stage.authority.get("/readyz")) == "503 history_lost", SECONDS)
        assert eventually(lambda: told(stage.ask(old.access)) == "503 guard_stale", SECONDS)
        status = _command(stage, "status")
        assert (status.returncode, "a guard has seen" in status.stderr) == (1, True)
        assert told(stage.authority.get("/readyz")) == "503 history_lost"

        assert _command(stage, "recover", "--yes").returncode == 0
        assert eventually(lambda: told(stage.ask(old.access)) == "401 key_withdrawn", SECONDS)
        assert told(stage.try_refresh(old)) == "400 invalid_grant"
        assert told(stage.ask(stage.sign_in(user).access)) == "200"
        assert told(stage.authority.get("/readyz")) == "200"


def test_it_recovers_by_itself_and_lets_sessions_live_where_that_is_set(tmp_path: Path) -> None:
    """No operator, another epoch: sessions of the backup go on, but for those that had been ended before it."""
    with _stage(tmp_path, WATCHWORD_AUTO_RECOVER="true", WATCHWORD_SESSIONS_SURVIVE="true") as stage:
        user = stage.add_user("editor")
        ended, lives = stage.sign_in(user), stage.sign_in(user)
        _end(stage, ended)
        backup = _back_up(stage)
        lost = stage.sign_in(user)
        _end(stage, stage.sign_in(user))
        _restore(stage, backup)

        assert eventually(lambda: told(stage.ask(lives.access)) == "401 key_withdrawn", SECONDS)
        again = Tokens.of(stage.try_refresh(lives))
        assert again.claims["wwd_pos"].partition(".")[0] != lives.claims["wwd_pos"].partition(".")[0]
        assert told(stage.ask(again.access)) == "200"
        assert told(stage.try_refresh(ended)) == "400 invalid_grant"
        assert told(stage.try_refresh(lost)) == "400 invalid_grant"
