"""Make the environments that the bench runs in: its own, PyJWT 2.10's, and a folder of Node packages where npm is.

The standard library only: it runs before anything is installed. ``python bench/prepare.py FOLDER``
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]
_OLD_PYJWT: Final = "2.10.1"


def main(folder: Path) -> None:
    """Install all of it."""
    ours = folder / "main"
    _make(ours, "-e", f"{_ROOT}[server,fastapi,bench]")
    version = "from importlib.metadata import version; print(version('cryptography'))"
    found = subprocess.run([_python(ours), "-c", version], capture_output=True, text=True, check=True).stdout.strip()
    _make(folder / "pyjwt-2.10", f"pyjwt=={_OLD_PYJWT}", f"cryptography=={found}")  # the same primitive under both
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed: Node's libraries are left out.", file=sys.stderr)
        return
    node = folder / "node"
    node.mkdir(exist_ok=True)
    shutil.copy(_ROOT / "bench" / "peers" / "package.json", node)
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=node, check=True)


def _make(folder: Path, *what: str) -> None:
    print(f"Installing into {folder} ...")
    if not Path(_python(folder)).exists():
        venv.create(folder, with_pip=True)
    command = [_python(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    subprocess.run(command, check=True)


def _python(folder: Path) -> str:
    return str(folder / "bin" / "python")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
