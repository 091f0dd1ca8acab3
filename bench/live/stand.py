"""An authority to be measured: ``watchword serve`` on a database of its own, and an administrator's hand on it."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from examples.processes import Process, address, connect, database, free_port
from examples.stage import Administrator

from bench.live.processes import ROOT, processor_clock
from bench.live.wire import Connection, open_wire, request

AUDIENCE: Final = "orders"
_WATCHWORD: Final = (sys.executable, "-m", "bench.live.serve")
_LIFETIME: Final = 3600  # seconds: longer than any bench, so that no token runs out in it


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for a while."""
    made = Path(tempfile.mkdtemp(prefix="watchword-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@final
class Stand:
    """An authority that runs, and an administrator of it. Settings are as they come."""

    def __init__(self, process: Process, administrator: Administrator, environ: Mapping[str, str], data: Path) -> None:
        self.process = process
        self.url = process.url
        self.issuer = environ["WATCHWORD_ISSUER"]
        assert process.pid is not None
        self.pid = process.pid
        self.spent = processor_clock(process.pid)
        """The processor time that the authority's process has used, in seconds."""
        self._administrator = administrator
        self._environ = environ
        self._data = data

    @property
    def bearer(self) -> dict[str, str]:
        """The header of the administrator's token."""
        return {"Authorization": self._administrator.connection.headers["Authorization"]}

    def add_client(self, name: str, *grants: str, public: bool = False) -> str:
        """A new client of our audience and of the authority's own; its secret, empty for a public one."""
        audiences = [AUDIENCE, self.issuer]
        made = self.administer("POST", "/clients", id=name, grants=grants, audiences=audiences, public=public)
        return str(made.get("client_secret") or "")

    def administer(self, method: str, path: str, **members: object) -> dict[str, Any]:
        """Send one change to the admin API."""
        return self._administrator(method, path, **members)

    def connect(self) -> "Asker":
        """Connections to this authority."""
        return Asker(self.url)

    @contextmanager
    def replica(self) -> Iterator[Process]:
        """Another process on the same database, under the same name."""
        port = free_port()
        environ = {**self._environ, "WATCHWORD_PORT": str(port)}
        with _serving(address(port), environ, self._data / f"replica-{port}.log") as process:
            yield process


@final
class Asker:
    """Several kept connections to one server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: list[Connection] = []

    async def __aenter__(self) -> "Asker":
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()

    async def open(self) -> Connection:
        """One more."""
        connection = await open_wire(Connection, self._url)
        self._open.append(connection)
        return connection

    async def several(self, count: int) -> list[Connection]:
        """Some more."""
        return [await self.open() for _ in range(count)]


@contextmanager
def stand(url: Callable[[Path], str] = database) -> Iterator[Stand]:
    """An authority with one audience. ``url`` names its database, given a folder that may hold it."""
    port = free_port()
    with folder() as data:
        environ = {
            "WATCHWORD_ISSUER": address(port),
            "WATCHWORD_DATABASE": url(data),
            "WATCHWORD_PORT": str(port),
            "WATCHWORD_SECRET": secrets.token_urlsafe(32),
            "WATCHWORD_ACCESS_LIFETIME": str(_LIFETIME),
        }
        password = _first_password(data, environ)
        with _serving(address(port), environ, data / "authority.log") as process, connect(process.url) as connection:
            made = Stand(process, Administrator(connection, password), environ, data)
            made.administer("POST", "/audiences", name=AUDIENCE)
            yield made


def revocation(bearer: Mapping[str, str], scope: str, identifier: str) -> bytes:
    """The request that revokes one thing."""
    return request("POST", "/admin/revocations", headers=bearer, members={"scope": scope, "id": identifier})


def _first_password(data: Path, environ: Mapping[str, str]) -> str:
    command = [*_WATCHWORD, "init", "--json"]
    environ = {**os.environ, **environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=data, env=environ, capture_output=True, text=True, check=True)
    told: str = json.loads(done.stdout)["first_administrator"]["password_file"]
    return (data / told).read_text().split()[-1]


@contextmanager
def _serving(url: str, environ: Mapping[str, str], log: Path) -> Iterator[Process]:
    with Process("the authority", [*_WATCHWORD, "serve"], url, environ=environ, log=log) as process:
        process.wait_until_ready("/readyz")
        yield process
