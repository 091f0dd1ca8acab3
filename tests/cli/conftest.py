"""The command line as its users have it: in this process on a database of one's own, as a process, on a terminal."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.cli.world import FAST, PASSWORD, SECONDS, Run, Server, Terminal, Watchword

from watchword.cli.main import cli


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in a folder of its own, with quick passwords and keys and no setting from outside."""
    for name in os.environ:
        if name.startswith("WATCHWORD_"):
            monkeypatch.delenv(name)
    for name, value in FAST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def first_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that was just made: copying is quicker than making."""
    folder = tmp_path_factory.mktemp("first")
    environment = clean_environment()
    subprocess.run([*COMMAND, "init"], cwd=folder, env=environment, check=True, capture_output=True, timeout=SECONDS)
    return folder


@pytest.fixture
def database(place: Path, first_database: Path) -> Path:
    """A database in the test's folder: the first administrator, and nothing else."""
    shutil.copytree(first_database, place, dirs_exist_ok=True)
    return place / "watchword.db"


@pytest.fixture
def watchword() -> Watchword:
    """Run a command line in this process."""

    def run(*words: str, given: str = "") -> Run:
        result = CliRunner().invoke(cli, list(words), input=given, prog_name="watchword")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return Run(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def start(place: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start the command as a process; whatever still runs when the test is over is stopped."""
    processes: list[subprocess.Popen[str]] = []

    def begin(*words: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=place,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


@pytest.fixture
def serve(start: Callable[..., Any]) -> Callable[..., Server]:
    """Start an authority on a free port, and wait until it is ready, or until ``probe`` is answered."""

    def begin(*words: str, probe: str = "/readyz", **environment: str) -> Server:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        process = start("serve", "--port", str(port), "--issuer", url, *words, **environment)
        wait_until_ready(url + probe, process)
        return Server(process, url)

    return begin


@pytest.fixture
def terminal(place: Path) -> Iterator[Callable[..., Terminal]]:
    """Start the command on a terminal of its own."""
    opened: list[Terminal] = []

    def begin(*words: str) -> Terminal:
        opened.append(Terminal([*COMMAND, *words], place, clean_environment()))
        return opened[-1]

    yield begin
    for terminal in opened:
        terminal.close()


COMMAND = [sys.executable, "-c", "from watchword.cli.main import run; run()"]


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without any setting but the quick ones, for a process."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    return outside | {"TERM": "xterm", "COLUMNS": "200"} | FAST | dict(more or {})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(probe: str, process: "subprocess.Popen[str]") -> None:
    """Until the authority answers there that it is ready; fail if it ends before, or takes too long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        try:
            with urllib.request.urlopen(probe, timeout=SECONDS):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise AssertionError("the authority was not ready in time")


@pytest.fixture
def administrator(database: Path, watchword: Watchword) -> str:
    """The name of an administrator who has chosen a password."""
    made = watchword("user", "add", "root", "--role", "administrator", "--password-stdin", given=PASSWORD + "\n")
    assert made.code == 0, made.err
    return "root"
