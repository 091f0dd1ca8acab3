"""Where the figures come from: processor, versions, and how busy the machine was."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_PACKAGES: Final = (
    "cryptography", "msgspec", "starlette", "fastapi", "pydantic", "uvicorn", "uvloop", "httptools",
)  # fmt: skip


def describe(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Names to values, in the order in which they are shown."""
    from cryptography.hazmat.backends.openssl import backend

    found = {"processor": _processor(), "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"}
    found["Python"] = platform.python_version()
    found |= {name: importlib.metadata.version(name) for name in packages}
    found["OpenSSL"] = backend.openssl_version_text().removeprefix("OpenSSL ")
    node = shutil.which("node")
    if node:
        found["Node"] = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return found


def load() -> str:
    """The load average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    facts: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"
