"""Tickets in a folder, for the workers of one machine: a file for each, and the file system says who was first."""

import asyncio
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, final

from watchword.guard.source import boot_clock

_END: Final = struct.Struct(">d")
_UNWRITTEN: Final = float("-inf")
_FILE: Final = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{1,32}")
_SWEEP: Final = 30.0
"""Seconds between two looks of one process for tickets that nobody took."""


@final
class DirectoryTickets:
    """A `TicketStore` in a folder that the workers of one machine share, each under the same user.

    The folder is made at the first use, for that user alone; one that others may enter is refused, with an error each
    time. It is best on a file system in memory, such as ``/run``: nothing in it is worth keeping. Not on a network.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = boot_clock) -> None:
        self._path = os.fspath(path)
        self._clock = clock
        self._boot = _boot()
        self._swept = float("-inf")
        self._unwritten: set[str] = set()  # as the last sweep saw them

    async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
        """Keep it in a file of its own, and remove those that are over; ``OSError`` if that fails."""
        await asyncio.to_thread(self._keep, name, sealed, seconds)

    async def take(self, name: str) -> bytes | None:
        """What is kept, for the one process that removes the file; ``OSError`` if that fails."""
        return await asyncio.to_thread(self._take, name)

    def _keep(self, name: str, sealed: bytes, seconds: int) -> None:
        with self._folder() as folder:
            now, file = self._clock(), f"{name}.{self._boot}"
            if now - self._swept >= _SWEEP:
                self._swept = now
                self._sweep(folder, now)
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            try:
                with open(made, "wb") as out:
                    out.write(_END.pack(now + seconds) + sealed)
            except OSError:
                os.unlink(file, dir_fd=folder)
                raise

    def _take(self, name: str) -> bytes | None:
        with self._folder() as folder, suppress(FileNotFoundError):
            file = f"{name}.{self._boot}"
            end, sealed = _read(folder, file)
            os.unlink(file, dir_fd=folder)  # of all who have read it, one gets past this line
            return sealed if end > self._clock() else None
        return None

    def _sweep(self, folder: int, now: float) -> None:
        """Remove what is over, and all of former boots, whose clocks mean nothing now.

        Another process may be just writing: what looks unwritten goes if it still does at the next sweep.
        """
        unwritten = set()
        for file in filter(_FILE.fullmatch, os.listdir(folder)):
            with suppress(FileNotFoundError):
                end = _read(folder, file)[0] if file.endswith(f".{self._boot}") else now
                if end == _UNWRITTEN and file not in self._unwritten:
                    unwritten.add(file)
                elif end <= now:
                    os.unlink(file, dir_fd=folder)
        self._unwritten = unwritten

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """The folder, opened anew each time, as it may be cleaned away, and seen to be ours alone."""
        with suppress(FileExistsError):
            os.mkdir(self._path, 0o700)
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            facts = os.fstat(folder)
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
                raise PermissionError(f"{self._path} must be this user's, and nobody else's (mode 0700)")
            yield folder
        finally:
            os.close(folder)

    def __repr__(self) -> str:
        return f"DirectoryTickets({self._path!r})"


def _read(folder: int, file: str) -> tuple[float, bytes]:
    """When a ticket is over, by the clock of this boot, and what is sealed in it."""
    with open(os.open(file, os.O_RDONLY, dir_fd=folder), "rb") as opened:
        data = opened.read()
    end = _END.unpack_from(data)[0] if len(data) >= _END.size else _UNWRITTEN
    return end, data[_END.size :]


def _boot() -> str:
    """A name for the time since the machine was started, where the system has one: its clock begins anew each time."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    except OSError:
        return "0"
