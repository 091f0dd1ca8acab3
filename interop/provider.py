"""oidc-provider as a process: an issuer that others wrote, with keys that the test chooses."""

import json
import shutil
from pathlib import Path
from typing import Final

import httpx2
from examples.processes import Process, address, free_port

from watchword import Key

_HERE: Final = Path(__file__).parent
_INSTALLED: Final = _HERE.parent / ".interop"
AUDIENCE: Final = "urn:orders"


def missing() -> str | None:
    """What is missing on this machine."""
    if shutil.which("node") is None:
        return "no Node.js here"
    if not (_INSTALLED / "node_modules" / "oidc-provider").exists():
        return "oidc-provider is not installed here: make interop does that"
    return None


class Provider:
    """It runs from `start` to `stop`, each time at the same address; ``keys`` are its own, of which the first signs."""

    def __init__(self, folder: Path, *keys: Key) -> None:
        node = str(shutil.which("node"))
        self.keys: tuple[Key, ...] = keys
        self._keys_file, self._token_file = folder / "keys.json", folder / "token.txt"
        port = free_port()
        self.issuer = address(port)
        script, files = str(_HERE / "oidc-provider.mjs"), (str(self._keys_file), str(self._token_file))
        command = [node, script, str(_INSTALLED), str(port), *files]
        self._process = Process("oidc-provider", command, self.issuer, environ={}, log=folder / "log")

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._keys_file.write_text(json.dumps({"keys": [key.to_jwk() for key in self.keys]}))
        self._process.start()
        self._process.wait_until_ready("/jwks")

    def stop(self) -> None:
        """End it, if it runs."""
        self._process.stop()

    def sign(self, *keys: Key) -> None:
        """Go on with other keys."""
        self.stop()
        self.keys = keys
        self.start()

    def of_the_client(self) -> str:
        """An access token of the client's own."""
        return self._token({"grant_type": "client_credentials"})["access_token"]

    def of_ada(self) -> dict[str, str]:
        """Ada's tokens: ``access_token`` and ``id_token``."""
        return self._token({"grant_type": "refresh_token", "refresh_token": self._token_file.read_text()})

    def _token(self, form: dict[str, str]) -> dict[str, str]:
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=("portal", "secret"), trust_env=False)
        assert answer.status_code == 200, answer.text
        members: dict[str, str] = answer.json()
        return members
