"""The service in processes of its own, under the servers that people use."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from examples.processes import Process, address, free_port

_APP: Final = "tests.sockets.service:app"
_ROOT: Final = Path(__file__).parents[2]
_COMMANDS: Final = {
    "uvicorn": ["uvicorn", "--log-level", "warning"],
    "granian": ["granian", "--interface", "asgi", "--no-access-log", "--log-level", "warning"],
}
SERVERS: Final = tuple(_COMMANDS)


@contextmanager
def served(
    server: str,
    issuer: str,
    log: Path,
    *,
    workers: int = 1,
    tickets: Path | None = None,
    staleness: float | None = None,
    client: tuple[str, str] = ("orders", "secret"),
) -> Iterator[str]:
    """Run the service; gives its URL once it answers. ``log`` is the file for what it says, ``client`` follows.

    The pages of another origin that may call it are those of the same port of ``localhost``.
    """
    port = free_port()
    name, *options = _COMMANDS[server]
    command = [sys.executable, "-m", name, *options, "--port", str(port), "--workers", str(workers), _APP]
    environ = {
        "SERVICE_ISSUER": issuer,
        "SERVICE_ORIGIN": address(port).replace("127.0.0.1", "localhost"),
        "PYTHONPATH": str(_ROOT),
        "WATCHWORD_CLIENT_ID": client[0],
        "WATCHWORD_CLIENT_SECRET": client[1],
    }
    if tickets is not None:
        environ["SERVICE_TICKETS"] = str(tickets)
    if staleness is not None:
        environ["SERVICE_STALENESS"] = str(staleness)
    process = Process(f"the service under {server}", command, address(port), environ=environ, log=log, folder=_ROOT)
    with process:
        process.wait_until_ready("/health")
        yield process.url
