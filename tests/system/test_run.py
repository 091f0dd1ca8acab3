"""``make run``: two processes, people to try them as, and a clean end."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from examples.processes import eventually, free_port, is_free
from tests.system.settings import FAST

ROOT = Path(__file__).parents[2]
LAST_LINE = "Ctrl-C stops both"


class Run:
    """``python -m examples.run`` in a process group of its own, as a terminal would start it."""

    def __init__(self, data: Path, ports: tuple[int, int]) -> None:
        self.output = data.with_suffix(".out")
        self.ports = ports
        self.output.write_text("")
        options = ["--data", str(data), "--port", str(ports[0]), "--articles-port", str(ports[1])]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.run", *options],
                cwd=ROOT,
                env=os.environ | FAST,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        """Everything that was printed so far."""
        return self.output.read_text()

    def wait_for_greeting(self) -> None:
        """Block until it is ready."""
        assert eventually(lambda: LAST_LINE in self.said() or self.process.poll() is not None, 90), self.said()
        assert self.process.poll() is None, self.said()

    def commands(self) -> list[str]:
        """The printed lines that are there to be pasted."""
        lines = self.said().replace("\\\n", "").splitlines()
        return [line for line in lines if line.startswith(("curl ", "ADA=", "ACCOUNT="))]

    def is_gone(self) -> bool:
        """Whether nothing of the process group is left."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return all(is_free(port) for port in self.ports)
        return False

    def end(self) -> None:
        """Whatever the test did, nothing stays behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(data: Path, ports: tuple[int, int]) -> Iterator[Run]:
    """`Run`, ready, and ended whatever happens."""
    run = Run(data, ports)
    try:
        run.wait_for_greeting()
        yield run
    finally:
        run.end()


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two free ports."""
    return free_port(), free_port()


def pasted(commands: list[str]) -> list[int]:
    """Run the lines in bash, the last until it is refused; the statuses of the answers that they show."""
    *first, last = commands
    again = f"for _ in $(seq 500); do ANSWER=$({last}); case $ANSWER in *' 401 '*) break;; esac; done; echo \"$ANSWER\""
    script = "\n".join([*first, again])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return [int(status) for status in re.findall(r"HTTP/1\.1 ([0-9]+)", done.stdout)]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed lines are for whoever has curl")
def test_what_is_printed_works_when_pasted_after_a_second_start_too(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Ada signs in, is let in, writes, may not publish, signs out everywhere and is refused; Ctrl-C ends it; again."""
    data = tmp_path / "var"
    kept = list[str]()
    for _ in range(2):
        with running(data, ports) as run:
            assert pasted(run.commands()) == [200, 201, 403, 204, 401]
            os.killpg(run.process.pid, signal.SIGINT)
            assert run.process.wait(30) == 0
            assert run.is_gone()
        kept.append((data / "examples.json").read_text())
    assert kept[0] == kept[1]


def test_secrets_lie_in_files_of_their_owner(tmp_path: Path, ports: tuple[int, int]) -> None:
    """Without a terminal the first administrator's password is in a file, and none is printed but the examples'."""
    data = tmp_path / "var"
    with running(data, ports) as run:
        first = (data / "watchword.first-administrator").read_text().split()[-1]
        assert first not in run.said()
        for name in ("examples.json", "watchword.first-administrator", "watchword.db"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
        assert json.loads((data / "examples.json").read_text())["articles_secret"] not in run.said()
        run.process.send_signal(signal.SIGTERM)  # to the parent alone, as a supervisor does
        assert run.process.wait(30) == 0
        assert run.is_gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_no_child_outlives_a_parent_that_is_killed(tmp_path: Path, ports: tuple[int, int]) -> None:
    """SIGKILL cannot be handled, and still both processes end."""
    with running(tmp_path / "var", ports) as run:
        run.process.kill()
        run.process.wait()
        assert eventually(run.is_gone, 30)


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_that_is_taken_is_named(tmp_path: Path, ports: tuple[int, int], which: int) -> None:
    """One line, status 1, and nothing is left running."""
    with socket.create_server(("127.0.0.1", ports[which])):
        run = Run(tmp_path / "var", ports)
        try:
            assert run.process.wait(60) == 1
        finally:
            run.end()
    assert len(run.said().splitlines()) == 1
    assert f"port {ports[which]} is taken" in run.said()
