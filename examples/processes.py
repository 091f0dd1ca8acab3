"""Real processes on this machine: the authority, and the example service that follows it."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx2

WATCHWORD: Final = str(Path(sys.executable).with_name("watchword"))
"""The command line, as it is installed beside this Python."""
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
ANSWER_SECONDS: Final = 30.0

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final[Any] = ctypes.CDLL(None) if sys.platform == "linux" else None


class NotStarted(Exception):
    """A process did not come up; the text says what it said last."""


class Process:
    """One child process that answers HTTP at ``url`` once it is ready.

    Its output goes to the file ``log``, or where the parent's goes. It works in ``folder``, or where the parent does.
    ``last_signal`` is what it gets if the parent dies; one that is paused then hears of nothing but SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        url: str,
        *,
        environ: Mapping[str, str],
        log: Path | None,
        folder: Path | None = None,
        last_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.url = url
        self._command = command
        self._environ = dict(environ)
        self._log = log
        self._folder = folder
        self._last_signal = last_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's id, once it was started."""
        return None if self._child is None else self._child.pid

    @property
    def status(self) -> int | None:
        """How the child ended; None while it runs, or before it was started."""
        return None if self._child is None else self._child.poll()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the child in this process group: Ctrl-C reaches it too."""
        with contextlib.ExitStack() as stack:
            output = None if self._log is None else stack.enter_context(self._log.open("ab"))
            self._child = subprocess.Popen(
                self._command,
                env=os.environ | self._environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=end_with_parent(self._last_signal),
            )

    def wait_until_ready(self, path: str) -> None:
        """Block until the child answers 200 at ``path``; `NotStarted` if it ends before, or takes too long."""
        if not eventually(lambda: self.status is not None or _answers(self.url + path), READY_SECONDS):
            raise NotStarted(f"{self.name} does not answer at {self.url}{path}.{self._last_words()}")
        if self.status is not None:
            raise NotStarted(f"{self.name} ended with status {self.status}.{self._last_words()}")

    def stop(self) -> None:
        """End the child as an operator would, and wait for it; by force if it does not listen."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the child in its tracks; it keeps its connections and its locks, and knows nothing of it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused child go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        self._child.send_signal(number)
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        return " It said:\n" + "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])


def authority(data: Path, port: int, *, environ: Mapping[str, str] | None = None, log: Path | None = None) -> Process:
    """The authority: ``watchword serve`` on a database in ``data``."""
    url = address(port)
    settings = {
        "WATCHWORD_ISSUER": url,
        "WATCHWORD_DATABASE": database(data),
        "WATCHWORD_PORT": str(port),
    }
    return Process("the authority", [WATCHWORD, "serve"], url, environ={**(environ or {}), **settings}, log=log)


def articles(
    data: Path,
    port: int,
    *,
    issuer: str,
    secret: str,
    environ: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Process:
    """The example service, which follows the authority as the client ``articles``."""
    settings = {
        "ARTICLES_ISSUER": issuer,
        "ARTICLES_DATABASE": str(data / "articles.db"),
        "WATCHWORD_CLIENT_ID": "articles",
        "WATCHWORD_CLIENT_SECRET": secret,
    }
    command = [sys.executable, "-m", "uvicorn", "examples.articles:app"]
    command += ["--port", str(port), "--log-level", "warning"]
    return Process("the example service", command, address(port), environ={**(environ or {}), **settings}, log=log)


def database(data: Path) -> str:
    """Where the authority keeps everything, as its settings name it."""
    return f"sqlite:///{data / 'watchword.db'}"


def connect(url: str) -> httpx2.Client:
    """A connection to a process on this machine, whatever proxy the environment names for others."""
    return httpx2.Client(base_url=url, timeout=ANSWER_SECONDS, trust_env=False)


def address(port: int) -> str:
    """Where a port of this machine is, as a URL."""
    return f"http://127.0.0.1:{port}"


def is_free(port: int) -> bool:
    """Whether a process could listen on that port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that nobody listens on, below those that systems give to outgoing connections: it stays free."""
    while not is_free(port := random.randint(10_000, 32_000)):
        pass
    return port


def eventually(holds: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Ask again and again until it holds, at most so many seconds; whether it did."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def end_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """For ``preexec_fn``: on Linux, the child gets this signal when the thread that started it has ended."""
    if _LIBC is None:
        return None
    return lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
