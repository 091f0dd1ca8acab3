"""Over HTTP: processor time of the server's process for each request, guarded and unguarded, under the same load.

The load comes from this process, on another core where there is one: connections that are kept, each asks as soon as
it was answered, a fixed number of requests. User and system time are the server's own, as its kernel counts them.
"""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Final, final

from bench import apps, world
from bench.measure import Samples
from bench.table import Row, Section
from bench.workers import ROOT

_APPS: Final = ("starlette", "starlette-wall", "fastapi", "fastapi-wall", "fastapi-need", "fastapi-tutorial")
_CONNECTIONS: Final = 16
_REQUESTS: Final = 1600
_ROUNDS: Final = 15


def measure() -> list[Section]:
    """All servers up, asked in turn."""
    signer, tokens = world.key("RS256", 2048), world.tokens("RS256", 2048)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cores[0]})
    asks = [_request(token) for token in tokens]
    costs: dict[str, list[float]] = {which: [] for which in _APPS}
    with ExitStack() as stack:
        servers = {which: stack.enter_context(_Server(which, signer.to_pem(), cores[-1])) for which in _APPS}
        for server in servers.values():
            server.load(asks, _REQUESTS)
        for _ in range(_ROUNDS):
            for which, server in servers.items():
                costs[which].append(server.load(asks, _REQUESTS))
    samples = Samples(costs)
    rows = [Row(f"{which}, unguarded", samples.cost(which), "µs") for which in ("starlette", "fastapi")]
    rows += [
        Row("Starlette with the wall", samples.ratio("starlette-wall", "starlette"), "x", 1.20),
        Row("FastAPI with the wall", samples.ratio("fastapi-wall", "fastapi"), "x", 1.15),
        Row("FastAPI with the wall and need()", samples.ratio("fastapi-need", "fastapi"), "x"),
        Row("FastAPI with the tutorial's dependency", samples.ratio("fastapi-tutorial", "fastapi"), "x"),
    ]
    return [Section("http", "Over HTTP: the server's processor time, guarded against unguarded", rows)]


def _request(token: str) -> bytes:
    lines = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in apps.headers(token))
    return f"GET {apps.PATH} HTTP/1.1\r\n{lines}\r\n".encode()


@final
class _Server:
    """One app's process."""

    def __init__(self, which: str, pem: str, core: int) -> None:
        command = [sys.executable, "-m", "bench.server", which, str(core)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(pem)
        self._process.stdin.close()
        self._port = int(self._process.stdout.readline())

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def load(self, asks: list[bytes], count: int) -> float:
        """Ask that often; nanoseconds of the server's processor time for each request."""
        with ExitStack() as stack:
            kept = [
                stack.enter_context(socket.create_connection(("127.0.0.1", self._port))) for _ in range(_CONNECTIONS)
            ]
            for connection in kept:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asking = cycle(asks)
            begun = self._spent()
            for _ in range(count // _CONNECTIONS):
                for connection in kept:
                    connection.sendall(next(asking))
                for connection in kept:
                    _read(connection)
            return (self._spent() - begun) / (count // _CONNECTIONS * _CONNECTIONS)

    def _spent(self) -> int:
        tasks = Path(f"/proc/{self._process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir())


def _read(connection: socket.socket) -> None:
    """One answer, which must be a good one."""
    data = connection.recv(65536)
    while not data.endswith(b"}"):
        data += connection.recv(65536)
    assert data.startswith(b"HTTP/1.1 200"), data
