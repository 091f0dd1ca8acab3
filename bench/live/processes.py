"""What other processes cost, and processes of our own that are asked line by line."""

import asyncio
import ctypes
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, final

from examples.processes import end_with_parent

from bench.live.wire import Unexpected

ROOT: Final = Path(__file__).parents[2]
_LIBC: Final[Any] = ctypes.CDLL(None)
_LONGEST_LINE: Final = 1 << 26
_PATIENCE: Final = 60.0  # seconds


def processor_clock(pid: int) -> Callable[[], float]:
    """A clock of the processor time that all threads of a process have used, in seconds: clock_getcpuclockid(3).

    /proc has the same, in hundredths of a second.
    """
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise ProcessLookupError(pid)
    return partial(time.clock_gettime, clock.value)


def resident(pid: int) -> int:
    """The bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def allow_many_connections() -> None:
    """As many open files as this process and those that it starts may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@final
class Child:
    """A module of the bench in a process of its own, which reads and writes lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def run(cls, module: str, first: str) -> AsyncIterator["Child"]:
        """Run a module, which is told a first line; it ends when its input does."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
        child = cls(process)
        try:
            child.tell(first)
            yield child
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def line(self) -> str:
        """The next line that it says; ``TimeoutError`` if that takes a minute."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise Unexpected("a process of the bench has ended")
        return line.decode().strip()

    async def ask(self, line: str) -> str:
        """Send a line; the answer."""
        self.tell(line)
        return await self.line()


def survive_interrupts() -> None:
    """For such a process: Ctrl-C is the parent's, which closes our input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
