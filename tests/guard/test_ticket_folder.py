"""Tickets in a folder that processes share."""

import asyncio
import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
from tests.guard.world import World

from watchword.guard import ticket_folder
from watchword.guard.ticket_folder import DirectoryTickets

NAME, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "tickets"


@pytest.fixture
def store(folder: Path, world: World) -> DirectoryTickets:
    """On the world's clock."""
    return DirectoryTickets(folder, clock=world.clock)


def keep(store: DirectoryTickets, name: str, sealed: bytes, seconds: int) -> None:
    """Keep, on an event loop."""
    asyncio.run(store.keep(name, sealed, seconds))


def take(store: DirectoryTickets, name: str) -> bytes | None:
    """Take, on an event loop."""
    return asyncio.run(store.take(name))


def test_once(store: DirectoryTickets, folder: Path) -> None:
    """What is kept is given once, by its name, to whichever process asks."""
    keep(store, NAME, b"sealed", 30)
    other_process = DirectoryTickets(folder, clock=lambda: 1029.9)
    assert take(other_process, OTHER) is None
    assert take(other_process, NAME) == b"sealed"
    assert take(store, NAME) is None
    assert list(folder.iterdir()) == []


def test_for_so_long(store: DirectoryTickets, folder: Path, world: World) -> None:
    """What is over is given to nobody, and is gone."""
    keep(store, NAME, b"sealed", 30)
    world.now += 30
    assert take(store, NAME) is None
    assert list(folder.iterdir()) == []


def test_for_nobody_else(store: DirectoryTickets, folder: Path) -> None:
    """Only the user may enter the folder and read the file."""
    keep(store, NAME, b"sealed", 30)
    (file,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o702])
def test_a_folder_that_others_may_enter(store: DirectoryTickets, folder: Path, mode: int) -> None:
    """Whoever can put files there, or take them, decides who is first: it is not used."""
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PermissionError, match="0700"):
        keep(store, NAME, b"sealed", 30)
    with pytest.raises(PermissionError, match="0700"):
        take(store, NAME)


def test_a_folder_of_somebody_else(store: DirectoryTickets, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that is another user's."""
    folder.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError):
        take(store, NAME)


def test_a_link(store: DirectoryTickets, folder: Path, tmp_path: Path) -> None:
    """A link in place of the folder is not followed."""
    (tmp_path / "elsewhere").mkdir(0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"links|directory"):
        keep(store, NAME, b"sealed", 30)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_was_cleaned_away(store: DirectoryTickets, folder: Path) -> None:
    """It is made again."""
    keep(store, NAME, b"one", 30)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert take(store, NAME) is None
    keep(store, NAME, b"two", 30)
    assert take(store, NAME) == b"two"


def test_what_nobody_took_goes(store: DirectoryTickets, folder: Path, world: World) -> None:
    """At every half minute in which tickets are given, with what former boots and dying processes left; no more."""
    folder.mkdir(0o700)
    (folder / "notes.txt").write_text("somebody's")
    (folder / f"{OTHER}.{'0' * 32}").write_bytes(struct.pack(">d", 1e9))
    (folder / f"{OTHER}.{ticket_folder._boot()}").write_bytes(b"half")
    for number in range(8):
        keep(store, f"{number:064}", b"sealed", 30)
        world.now += 10
    left = {file.name[:64] for file in folder.iterdir()}
    assert left == {"notes.txt"} | {f"{number:064}" for number in range(4, 8)}


def test_a_sweep_while_another_process_writes(
    store: DirectoryTickets, folder: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It spares the file that is made and not yet written."""
    real, other_process = open, DirectoryTickets(folder, clock=world.clock)

    def late(made: int, mode: str) -> object:
        monkeypatch.undo()
        other_process._keep(OTHER, b"sealed", 30)
        return real(made, mode)

    keep(store, "c" * 64, b"sealed", 30)  # the store's own sweep
    monkeypatch.setattr(ticket_folder, "open", late, raising=False)
    keep(store, NAME, b"sealed", 30)
    assert take(store, NAME) == b"sealed"


def test_two_sweep(store: DirectoryTickets, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process has swept meanwhile is no error."""
    monkeypatch.setattr(os, "listdir", lambda _: [f"{OTHER}.{'0' * 32}", f"{OTHER}.{ticket_folder._boot()}"])
    keep(store, NAME, b"sealed", 30)
    assert take(store, NAME) == b"sealed"


def test_the_name_of_a_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux has one for each; elsewhere they share one, that is a file's name as well."""
    named = Path("/proc/sys/kernel/random/boot_id").exists()
    assert (len(ticket_folder._boot()) == 32) is named

    def missing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert ticket_folder._FILE.fullmatch(f"{NAME}.{ticket_folder._boot()}")


def test_of_a_former_boot(store: DirectoryTickets, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock begins anew with each boot: what was kept before is nobody's."""
    keep(store, NAME, b"sealed", 30)
    monkeypatch.setattr(ticket_folder, "_boot", lambda: "f" * 32)
    assert take(DirectoryTickets(store._path, clock=world.clock), NAME) is None


def test_half_a_file(store: DirectoryTickets, folder: Path) -> None:
    """What a process left that died while it wrote lets nobody in."""
    folder.mkdir(0o700)
    (folder / f"{NAME}.{ticket_folder._boot()}").write_bytes(b"half")
    assert take(store, NAME) is None


def test_a_full_disk(store: DirectoryTickets, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written whole is not left behind."""
    real = open

    class Full:
        def __init__(self, *arguments: object) -> None:
            self.file = real(*arguments)  # type: ignore[call-overload]

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(ticket_folder, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space"):
        keep(store, NAME, b"sealed", 30)
    assert list(folder.iterdir()) == []


def test_one_of_many(store: DirectoryTickets, folder: Path, world: World) -> None:
    """However many take at the same time, one gets it."""
    with ThreadPoolExecutor(4) as threads:
        for number in range(50):
            name, start = f"{number:064}", threading.Barrier(4)
            keep(store, name, b"sealed", 30)

            def attempt(_: int, name: str = name, start: threading.Barrier = start) -> bytes | None:
                other_process = DirectoryTickets(folder, clock=world.clock)
                start.wait()
                return other_process._take(name)

            assert sorted(threads.map(attempt, range(4)), key=bool) == [None, None, None, b"sealed"]
