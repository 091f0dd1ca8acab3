"""PostgreSQL for tests: it is there, it is durable, it breaks on demand, and nothing is left of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from examples.processes import NotStarted, eventually
from servers.postgres import EXTERNAL, Postgres, Server

from servers import binaries

DURABLE = "CREATE TABLE IF NOT EXISTS kept (word text)"


def keep(server: Server, word: str) -> None:
    """Write a word durably."""
    server.sql(DURABLE)
    server.sql("INSERT INTO kept VALUES ($1)", word)


def kept(server: Server) -> set[str]:
    """What was written."""
    return {word for (word,) in server.sql("SELECT word FROM kept")}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def two(primary: Postgres, *, synchronous: bool = False) -> Iterator[Postgres]:
    """A standby, for a while."""
    replica = primary.standby(synchronous=synchronous)
    try:
        yield replica
    finally:
        replica.close()
        if not primary.runs:
            primary.start()
        primary.sql("ALTER SYSTEM RESET synchronous_standby_names")
        primary.sql("SELECT pg_reload_conf()")


def test_it_is_the_version_that_was_asked_for(own: Postgres) -> None:
    """And the server says so itself."""
    ((number,),) = own.sql("SHOW server_version_num")
    assert int(number) // 10_000 == own.major


def test_what_it_acknowledges_is_durable(own: Postgres) -> None:
    """No test setting trades durability for speed."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert own.sql(f"SHOW {name}") == [("on",)]


def test_each_database_is_empty_and_its_own(own: Postgres) -> None:
    """What one test leaves behind, no other finds."""
    with own.database() as one, own.database() as two:
        assert one != two
        own.sql("CREATE TABLE here ()", database=one.rpartition("/")[2])
        assert own.sql("SELECT to_regclass('here') IS NULL", database=two.rpartition("/")[2]) == [(True,)]
    assert own.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'watchword%'") == [(0,)]


def test_nobody_comes_in_without_the_password(own: Postgres) -> None:
    """Loopback is shared by all who have an account on the machine."""
    with pytest.raises(Exception, match="password"):
        Server(f"postgresql://postgres:wrong@127.0.0.1:{own.port}").sql("SELECT 1")


@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_it_is_the_same_after_a_restart(own: Postgres, mode: str) -> None:
    """Same address, same data, however it was stopped."""
    keep(own, mode)
    own.restart(mode)
    assert mode in kept(own)


def test_killing_it_kills_its_processes_too(own: Postgres) -> None:
    """Nothing that belongs to it writes after a kill, and what was acknowledged is there after it."""
    keep(own, "killed")
    mine = {pid for (pid,) in own.sql("SELECT pid FROM pg_stat_activity")} | {own.pid}
    assert len(mine) > 3
    own.kill()
    assert not own.runs
    assert eventually(lambda: not any(map(is_alive, mine)), 10)
    own.start()
    assert "killed" in kept(own)


def test_a_backup_takes_history_back(own: Postgres) -> None:
    """What came after the copy is lost."""
    keep(own, "before")
    own.stop()
    backup = own.backup()
    own.start()
    keep(own, "after")
    own.stop()
    own.restore(backup)
    own.start()
    assert {"before"} == kept(own) & {"before", "after"}


def test_a_standby_follows_and_takes_over(own: Postgres) -> None:
    """It reads the same and writes nothing, until it is promoted: then it has a history of its own."""
    keep(own, "first")
    with two(own) as standby:
        assert eventually(lambda: "first" in kept(standby), 10)
        with pytest.raises(Exception, match="read-only"):
            standby.sql("INSERT INTO kept VALUES ('refused')")
        own.stop()
        standby.promote()
        keep(standby, "second")
        # The control file tells the new timeline after the next checkpoint only.
        ((line,),) = standby.sql("SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)")
        assert line == "00000002"
        own.start()
        assert "second" not in kept(own)


def test_an_asynchronous_standby_may_lack_what_was_acknowledged(own: Postgres) -> None:
    """The primary waits for nobody; this is how history is lost."""
    keep(own, "known")
    with two(own) as standby:
        assert eventually(lambda: "known" in kept(standby), 10)
        standby.kill()
        keep(own, "lost")
        own.stop()
        standby.start()
        standby.promote()
        assert kept(standby) & {"known", "lost"} == {"known"}


def test_a_synchronous_standby_has_whatever_was_acknowledged(own: Postgres) -> None:
    """The primary waits for it; while it is away, nothing is acknowledged."""
    keep(own, "known")
    with two(own, synchronous=True) as standby:
        assert eventually(lambda: own.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)], 10)
        keep(own, "both")
        own.kill()
        standby.promote()
        assert "both" in kept(standby)


STARTS_ONE_AND_WAITS = """
from servers.postgres import Postgres
server = Postgres()
server.start()
print(server.pid, server.log.parent, flush=True)
input()
"""


def test_it_ends_with_the_process_that_started_it() -> None:
    """Even when that one is killed, and so can clean up nothing."""
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE_AND_WAITS], stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert is_alive(int(pid))
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not is_alive(int(pid)), 10)
    shutil.rmtree(folder)


def test_its_files_go_when_it_is_closed() -> None:
    """A session leaves nothing in the temporary folder."""
    server = Postgres()
    with server:
        assert server.log.exists()
    assert not server.log.parent.exists()


def test_a_server_that_does_not_start_says_why() -> None:
    """Its last words are in the error."""
    with pytest.raises(NotStarted, match="no_such_setting"):
        Postgres(settings={"no_such_setting": "1"}).start()


def test_a_server_that_is_named_is_used(own: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then none is started, whatever the version."""
    monkeypatch.setenv(EXTERNAL, own.url("somewhere"))
    with Postgres.any() as server:
        assert type(server) is Server
        with server.database() as url:
            assert url.startswith(own.address)


def test_without_a_server_the_error_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is skipped on a machine without PostgreSQL."""
    monkeypatch.setattr(binaries, "_folders", lambda: iter([Path(os.devnull)]))
    binaries.find.cache_clear()
    with pytest.raises(binaries.NotFound, match="TEST_POSTGRES"):
        binaries.find(18)
