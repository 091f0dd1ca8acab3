"""Real PostgreSQL for tests, benches and drills: started, stopped, killed, copied, followed by a standby."""

import asyncio
import itertools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import asyncpg
from examples.processes import free_port

from servers import binaries
from servers.child import Child, as_nobody, folder

VERSIONS: Final = (18, 16)
"""The versions that Watchword is tested with, the default first."""
EXTERNAL: Final = "TEST_POSTGRES"
"""Names a server to use in the environment, as a URL; then none is started where any will do."""
USER: Final = "postgres"
STATEMENT_SECONDS: Final = 30.0

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "200",
    # What is acknowledged must be durable in tests too, so fsync stays on; only what costs a test time is less.
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] ",
}
_END: Final = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Server:
    """A server that runs, whoever started it, on which databases are made."""

    def __init__(self, address: str) -> None:
        self.address = address
        """``postgresql://user:password@host:port``, without a database."""

    def url(self, database: str = "postgres") -> str:
        """A database of this server, as Watchword's settings name it."""
        return f"{self.address}/{database}"

    def create_database(self) -> str:
        """Make an empty database that nothing else uses; its URL."""
        name = f"watchword_{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database that was made here, whoever is still connected to it."""
        self.sql(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty database for a while; its URL."""
        url = self.create_database()
        try:
            yield url
        finally:
            self.drop_database(url)

    def sql(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own; its rows. From anywhere, a running event loop included."""

        async def run() -> list[tuple[Any, ...]]:
            # No statement is prepared for later: behind a pooler, the next one may run elsewhere.
            connection = await asyncpg.connect(self.url(database), timeout=STATEMENT_SECONDS, statement_cache_size=0)
            try:
                return [tuple(row) for row in await connection.fetch(statement, *values, timeout=STATEMENT_SECONDS)]
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, run()).result()


class Postgres(Server):
    """A server of our own on a free port of loopback, in a folder that ends with this process.

    ``version`` is a major version; where it is not to be had, the newest that is found: see `major`. ``settings`` are
    lines of postgresql.conf. Use it as a context manager, or `start` and `stop` it.
    """

    _numbers = itertools.count(1)

    def __init__(self, version: int = VERSIONS[0], *, settings: dict[str, str] | None = None) -> None:
        self._programs = binaries.find(version)
        self._settings = _SETTINGS | (settings or {})
        self._password = secrets.token_urlsafe(12)
        self._port = free_port()
        self._folder = folder("postgres")
        self._data = self._folder / "data"
        self.log = self._folder / "log"
        """Everything that the server said."""
        self._child: Child | None = None
        super().__init__(f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}")

    @classmethod
    @contextmanager
    def any(cls, version: int = VERSIONS[0]) -> Iterator[Server]:
        """The server that the environment names in ``TEST_POSTGRES``, or else one of our own."""
        if named := os.environ.get(EXTERNAL):
            yield Server(_without_database(named))
            return
        with cls(version) as server:
            yield server

    @property
    def major(self) -> int:
        """The major version that was found."""
        return self._programs.major

    @property
    def port(self) -> int:
        """Where it listens on loopback; the same after a restart."""
        return self._port

    @property
    def runs(self) -> bool:
        """Whether the server is there."""
        return self._child is not None and self._child.runs

    @property
    def pid(self) -> int:
        """The process id of a server that was started."""
        assert self._child is not None, "the server was not started"
        return self._child.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it takes connections; at first, make its cluster. `NotStarted`."""
        if not self._data.exists():
            self._make()
        settings = self._settings | {"port": str(self._port)}
        lines = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(self._programs["postgres"]), "-D", str(self._data), *lines]
        self._child = Child("PostgreSQL", command, log=self.log, end=signal.SIGQUIT)
        self._child.wait_until(self._is_ready)

    def stop(self, mode: str = "fast") -> None:
        """End the server: ``smart`` waits for its clients, ``fast`` doesn't, ``immediate`` leaves a recovery to do."""
        if self._child is not None:
            self._child.stop(_END[mode])

    def kill(self) -> None:
        """End the server and all its processes with SIGKILL, as near to a power cut as a process can come."""
        if self._child is not None:
            self._child.kill()

    def restart(self, mode: str = "fast") -> None:
        """Stop it and start it again at the same address."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop it for good and remove its files."""
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- History: copies, standbys

    def backup(self) -> Path:
        """Copy the files of the server, which must be stopped; where the copy is."""
        assert not self.runs, "files are copied while the server is stopped"
        copy = self._folder / f"backup-{next(self._numbers)}"
        _copy(self._data, copy)
        return copy

    def restore(self, backup: Path) -> None:
        """Go back to a `backup`; the server must be stopped. What it did since is lost."""
        assert not self.runs, "files are replaced while the server is stopped"
        shutil.rmtree(self._data)
        _copy(backup, self._data)

    def dump(self, url: str) -> Path:
        """Dump a database of this server; where the dump is."""
        target = self._folder / f"dump-{next(self._numbers)}"
        self._run("pg_dump", "--format=custom", f"--file={target}", f"--dbname={url}")
        return target

    def load(self, dump: Path) -> str:
        """Make a database of a `dump`, of this server or of another one; its URL."""
        url = self.create_database()
        self._run("pg_restore", "--no-owner", f"--dbname={url}", dump)
        return url

    def standby(self, *, synchronous: bool = False) -> "Postgres":
        """A streaming replica of this server, started. ``synchronous``: commits here wait for it from now on."""
        replica = Postgres(self.major, settings=self._settings)
        replica._password = self._password
        replica.address = f"postgresql://{USER}:{self._password}@127.0.0.1:{replica.port}"
        replica._run("pg_basebackup", "-d", self.url(), "-D", replica._data, "-R", "-X", "stream", "-c", "fast")
        replica.start()
        if synchronous:
            self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.sql("SELECT pg_reload_conf()")
        return replica

    def promote(self) -> None:
        """Make a standby a primary, on a timeline of its own; the old primary is not asked."""
        assert self.sql("SELECT pg_promote()") == [(True,)]

    # -- Its files

    def _make(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password)
        self._run(
            *("initdb", "-D", self._data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}"),
            *("--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"),
        )

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [self._programs[program], *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **as_nobody())
        assert done.returncode == 0, f"{program} failed: {done.stderr}"

    def _is_ready(self) -> bool:
        """Whether it says in its pid file, for this process, that it takes connections.

        pg_ctl asks there too, but is content with a standby that takes none yet.
        """
        assert self._child is not None
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready"


def _without_database(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its owners."""
    subprocess.run(["cp", "-a", source, target], check=True)
