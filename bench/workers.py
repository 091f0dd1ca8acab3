"""The peers' processes: each is asked for one batch at a time, so that they take part in the rounds."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

from bench import world
from bench.measure import Work
from bench.peers import Material

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / ".venv-bench"
_PEERS: Final = ROOT / "bench" / "peers"

PYTHON_PEERS: Final = MappingProxyType(
    {
        "PyJWT 2.15": ("pyjwt", "PyJWT", "main"),
        "PyJWT 2.10": ("pyjwt", "PyJWT", "pyjwt-2.10"),
        "joserfc": ("joserfc", "joserfc", "main"),
        "jwcrypto": ("jwcrypto", "jwcrypto", "main"),
        "python-jose": ("python_jose", "python-jose", "main"),
        "Authlib": ("authlib", "Authlib", "main"),
        "webtoken": ("webtoken", "webtoken", "main"),
    }
)
"""The module in bench/peers, the package, and the virtual environment."""

NODE_PEERS: Final = ("jsonwebtoken", "fast-jwt", "jose")


@dataclass(frozen=True, slots=True)
class Started:
    """What a peer's process said when it was ready."""

    version: str
    variants: list[str]


@final
class Worker:
    """One peer in one process."""

    def __init__(self, command: list[str], material: Material) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.started = Started(**json.loads(self._ask(json.dumps(material))))

    def work(self, variant: str) -> Work:
        """A batch of one of its functions."""
        return partial(self._batch, variant)

    def _batch(self, variant: str) -> float:
        return float(self._ask(variant))

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a peer's process ended: {self._process.args!r}")
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def peers() -> Iterator[dict[str, Worker]]:
    """A process for each peer that is installed, under the peer's name with the one of Node's marked."""
    signer, tokens = world.key("RS256", 2048), list(world.tokens("RS256", 2048))
    material = Material(
        algorithm="RS256",
        pem=signer.public.to_pem(),
        jwk=signer.public.to_jwk(),
        issuer=world.ISSUER,
        audience=world.AUDIENCE,
        tokens=tokens,
    )
    found: dict[str, Worker] = {}
    with ExitStack() as stack:
        for name, (module, package, environment) in PYTHON_PEERS.items():
            python = CACHE / environment / "bin" / "python"
            found[name] = Worker([str(python), "-m", "bench.peers", module, package], material)
            stack.callback(found[name].close)
        node, folder = shutil.which("node"), CACHE / "node"
        if node is None or not (folder / "node_modules").exists():
            print("Node is not installed, or its packages are not: its libraries are left out.", file=sys.stderr)
            node = None
        for name in NODE_PEERS if node else ():
            command = [str(node), str(_PEERS / "node.mjs"), str(_PEERS / f"{name}.mjs"), name, str(folder)]
            found[f"{name} (Node)"] = Worker(command, material)
            stack.callback(found[f"{name} (Node)"].close)
        yield found
