"""Where the vectors lie: ``../shared/vectors`` beside the project, or the folder that ``TEST_VECTORS`` names."""

import json
import os
from pathlib import Path
from typing import Any, Final

_BESIDE: Final = Path(__file__).resolve().parents[2] / "shared" / "vectors"
FOLDER: Final = Path(os.environ.get("TEST_VECTORS") or _BESIDE)
_FOLDERS: Final = ("wycheproof", "cookbook", "jsontestsuite", "ed25519")
MISSING: Final = [name for name in _FOLDERS if not (FOLDER / name).is_dir()]


def load(name: str) -> Any:
    """The JSON of one file."""
    return json.loads((FOLDER / name).read_text("utf-8"))


def files(pattern: str) -> list[Path]:
    """The files of that pattern, sorted."""
    return sorted(FOLDER.glob(pattern))
