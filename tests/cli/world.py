"""What tests of the command line speak about: a run, a server, a terminal."""

import json
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, final

SECONDS: Final = 30.0
"""How long anything may take before a test gives up."""
PASSWORD: Final = "correct horse battery"
FAST: Final = {
    "WATCHWORD_PASSWORD_MEMORY_KIB": "8",
    "WATCHWORD_PASSWORD_ROUNDS": "1",
    "WATCHWORD_ALGORITHM": "ES256",
}


class Run(NamedTuple):
    """What a command left: its exit code, and what it wrote to standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Standard output, as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        """Standard error, as JSON."""
        assert self.code != 0
        return json.loads(self.err)


class Watchword(Protocol):
    """Runs a command line."""

    def __call__(self, *words: str, given: str = "") -> Run:
        """With ``given`` as standard input."""


class Server(NamedTuple):
    """A process that serves."""

    process: "subprocess.Popen[str]"
    url: str

    def end(self, signal: int) -> Run:
        """Send a signal and wait for the end."""
        self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=SECONDS)
        return Run(self.process.returncode, out, err)


@final
class Terminal:
    """A command on a terminal: say what it should show, and type."""

    def __init__(self, words: Sequence[str], place: Path, environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            words, cwd=place, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.shown = ""
        self._expected = 0

    def expect(self, text: str) -> None:
        """Read on until the text is shown, after what was expected before."""
        deadline = time.monotonic() + SECONDS
        while (found := self.shown.find(text, self._expected)) < 0:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), f"it ended without {text!r}: {self.shown}"
        self._expected = found + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, line.encode() + b"\n")

    def end(self) -> int:
        """Read to the end, and give the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read():
            assert time.monotonic() < deadline, self.shown
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """Stop it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._ours)

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], SECONDS)[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)
