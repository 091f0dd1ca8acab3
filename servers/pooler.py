"""pgbouncer in transaction mode: what many put before PostgreSQL, and what forbids state on a connection."""

import shutil
import signal
import socket
from typing import Final, Self
from urllib.parse import urlsplit

from examples.processes import free_port

from servers.binaries import NotFound
from servers.child import Child, folder
from servers.postgres import Server

MISSING: Final = "pgbouncer is not on this machine (on Debian: apt-get install pgbouncer)."
_CONFIGURATION: Final = """\
[databases]
* = host={host} port={server_port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
max_client_conn = 1000
default_pool_size = {connections}
server_login_retry = 0.1
"""


def program() -> str:
    """Where pgbouncer is; `NotFound`. Debian puts it where only root's PATH looks."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotFound(MISSING)
    return found


class Pooler(Server):
    """A pooler in front of a server: a transaction has a connection, a client has none; a context manager.

    At most ``connections`` are open to each database of the server.
    """

    def __init__(self, server: Server, *, connections: int = 10) -> None:
        parts = urlsplit(server.address)
        self._port = free_port()
        self._folder = folder("pooler")
        users = self._folder / "users"
        users.write_text(f'"{parts.username}" "{parts.password}"\n')
        self._settings = self._folder / "pgbouncer.ini"
        server_port = parts.port or 5432
        lines = {"host": parts.hostname, "server_port": server_port, "port": self._port, "connections": connections}
        self._settings.write_text(_CONFIGURATION.format(users=users, **lines))
        self._child: Child | None = None
        super().__init__(f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{self._port}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it listens. `NotFound`, `NotStarted`."""
        log = self._folder / "log"
        self._child = Child("pgbouncer", [program(), str(self._settings)], log=log, end=signal.SIGTERM)
        self._child.wait_until(self._listens)

    def stop(self) -> None:
        """End it at once; its clients' connections break."""
        if self._child is not None:
            self._child.stop(signal.SIGTERM)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
