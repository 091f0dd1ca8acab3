"""The vault: wraps what must not lie open in the database under the operator's secret.

The secret is a text of 32 characters or more, from a file of mode 0600 or from the environment. What is wrapped names
the secret that it was wrapped under, so that a rotation can be cut off at any point and taken up again.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from watchword.authority.settings import Settings, SettingsError

MIN_SECRET: Final = 32
_NONCE = 12
_NAME = 8


@final
class Vault:
    """Wraps with AES-256-GCM under a key derived from the newest secret; unwraps with any that it was given."""

    def __init__(self, *texts: str) -> None:
        """``texts`` are the secrets, the newest first; ``SettingsError`` for one that is too short."""
        if not texts or any(len(text) < MIN_SECRET for text in texts):
            raise SettingsError(f"the secret has at least {MIN_SECRET} characters")
        self._keys = {_name(text): AESGCM(_derive(text)) for text in texts}
        self._newest = _name(texts[0])

    def fits(self, wrapped: bytes) -> bool:
        """Whether this was wrapped under the newest secret."""
        return wrapped[:_NAME] == self._newest

    def opens(self, wrapped: bytes) -> bool:
        """Whether this was wrapped under one of the secrets."""
        return wrapped[:_NAME] in self._keys

    def wrap(self, plain: bytes, label: str) -> bytes:
        """Encrypt; ``label`` says what it is, and nothing else can be put in its place."""
        nonce = os.urandom(_NONCE)
        sealed = self._keys[self._newest].encrypt(nonce, plain, label.encode())
        return self._newest + nonce + sealed

    def unwrap(self, wrapped: bytes, label: str) -> bytes:
        """Decrypt; `SettingsError` if it was wrapped under a secret that is not here, or was tampered with."""
        key = self._keys.get(wrapped[:_NAME])
        if key is None:
            raise SettingsError("the database was written under another secret: give that one")
        try:
            return key.decrypt(wrapped[_NAME : _NAME + _NONCE], wrapped[_NAME + _NONCE :], label.encode())
        except InvalidTag:
            raise SettingsError("a wrapped key in the database has been damaged") from None

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} secrets)"


def open_vault(settings: Settings, *, new: bool = False) -> Vault:
    """The vault of the configured secret; for a ``new`` database makes the secret's file where there is none."""
    if new and not settings.secret and not settings.secret_path.exists():
        write_secrets(settings.secret_path, [new_secret()], replace=False)
    return Vault(*read_secrets(settings))


def read_secrets(settings: Settings) -> list[str]:
    """The secrets, the newest first."""
    if settings.secret:
        return [text for text in (settings.secret, settings.previous_secret) if text]
    path = settings.secret_path
    try:
        open_to_others = path.stat().st_mode & 0o077
        texts = path.read_text("utf-8").split()
    except (OSError, ValueError):
        raise SettingsError(f"{path}: the file of the secret is missing or cannot be read") from None
    if open_to_others:
        raise SettingsError(f"{path}: others may read it; run: chmod 600 {path}")
    return texts


def write_secrets(path: Path, texts: list[str], *, replace: bool = True) -> None:
    """Write the secret's file in one step, readable by its owner only; without ``replace`` the first one stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        os.fsync(file.fileno())
    if replace:
        beside.replace(path)
    else:
        with suppress(FileExistsError):
            path.hardlink_to(beside)
        beside.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_secret() -> str:
    """A fresh secret: 43 characters from 32 random bytes."""
    return secrets.token_urlsafe(32)


def _name(text: str) -> bytes:
    return hashlib.sha256(b"watchword secret name\0" + text.encode()).digest()[:_NAME]


def _derive(text: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, None, b"watchword vault v1").derive(text.encode())
