"""A server program as a child process: run by somebody who is not root, ready when it says so, and surely ended."""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from examples.processes import NotStarted, end_with_parent, eventually

READY_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
UNPRIVILEGED: Final = "nobody"
"""Who runs the servers where the tests are root's: PostgreSQL and pgbouncer refuse to be run by root."""


def as_nobody() -> dict[str, Any]:
    """Arguments for `subprocess` that give up the rights of root; none, if there are none to give up."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def folder(name: str) -> Path:
    """A new folder that the servers may write to; it is removed when this process ends.

    Not below pytest's own folder, which nobody but its owner may enter.
    """
    made = Path(tempfile.mkdtemp(prefix=f"watchword-{name}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    if os.geteuid() == 0:
        shutil.chown(made, UNPRIVILEGED)
    return made


class Child:
    """One server process. Its output is appended to ``log``. It ends when this process does, however that is."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, end: signal.Signals) -> None:
        self._name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the tests; they stop it in their order
                preexec_fn=end_with_parent(end),
                **as_nobody(),
            )
        self._at_exit = weakref.finalize(self, _kill, self._process)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Block until it is ready; `NotStarted` with its last words if it ends before, or takes too long."""
        if not eventually(lambda: not self.runs or ready(), READY_SECONDS, pause=0.01) or not self.runs:
            self.kill()
            words = "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])
            raise NotStarted(f"{self._name} did not start. It said:\n{words}")

    def stop(self, number: signal.Signals) -> None:
        """Ask it to end, and wait for it; by force if it does not listen."""
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and its own children at once, as a power cut would."""
        self._at_exit()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)  # so that it starts no more children meanwhile
    for pid in (*_children_of(process.pid), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _children_of(parent: int) -> list[int]:
    """The ids of its children, where the system has /proc; elsewhere PostgreSQL's notice that their parent is gone."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text("utf-8", "replace").partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == parent:
                found.append(int(pid))
    return found
