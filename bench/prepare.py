"""Make the environments that the benches run in: our own, those of peers, and folders of Node packages where npm is.

The standard library only: it runs before anything is installed. ``python bench/prepare.py FOLDER libraries|servers``
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
_OLD_PYJWT: Final = "2.10.1"


def libraries(folder: Path) -> None:
    """For ``make bench``: our own environment, PyJWT 2.10's, and Node's libraries."""
    ours = folder / "main"
    _make(ours, "-e", f"{_ROOT}[server,fastapi,bench]")
    version = "from importlib.metadata import version; print(version('cryptography'))"
    found = subprocess.run([_python(ours), "-c", version], capture_output=True, text=True, check=True).stdout.strip()
    _make(folder / "pyjwt-2.10", f"pyjwt=={_OLD_PYJWT}", f"cryptography=={found}")  # the same primitive under both
    _npm(folder / "node", "peers")


def servers(folder: Path) -> None:
    """For ``make bench-authority``: Django with simplejwt, and oidc-provider."""
    _make(folder / "simplejwt", "djangorestframework-simplejwt[crypto]>=5.5", "gunicorn>=23")
    _npm(folder / "oidc-provider", "authority")


def _npm(folder: Path, part: str) -> None:
    """Install what a part of the bench names in its package.json."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed: what runs on Node is left out.", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_ROOT / "bench" / part / "package.json", folder)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)


def _make(folder: Path, *what: str) -> None:
    print(f"Installing into {folder} ...")
    if not Path(_python(folder)).exists():
        venv.create(folder, with_pip=True)
    command = [_python(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    subprocess.run(command, check=True)


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


if __name__ == "__main__":
    {"libraries": libraries, "servers": servers}[sys.argv[2]](Path(sys.argv[1]).absolute())
