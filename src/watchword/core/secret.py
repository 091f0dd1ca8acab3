"""Secrets shared with a foreign issuer: HMAC (RFC 7518 section 3.2), as types of their own.

Where one table holds signatures and MACs, a public key can be taken for a secret, and then anybody signs. So nothing
leads from there to here: no row of ``ALGORITHMS``, no `PublicKey`, no `KeySet`, no feed and no published document can
become a secret. Whoever has one names it, its algorithm and its ``kid``.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Self, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_der_x509_certificate

from watchword.core.encoding import NotStrict, b64url_decode, json_object
from watchword.errors import UnknownKey

SECRET_ALGORITHMS: Final[Mapping[str, str]] = MappingProxyType(
    {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
)
"""The MAC algorithms and their hashes."""

_MAX_KID: Final = 255  # characters
# The texts in which keys are published: PEM, the lines of OpenSSH and what stands in them, JSON Web Keys.
_PUBLISHED = re.compile(
    rb"-----BEGIN |\A\s*(?:(?:ssh|ecdsa-sha2|sk)-\S+ AAAA|AAAA(?:[BC]3NzaC1|E2VjZHNh)|[\[{].*\"(?:kty|keys)\")",
    re.DOTALL,
)


@final
class SecretKey:
    """A secret that verifies with one MAC algorithm. Its repr shows its name only, and it refuses to be pickled."""

    __slots__ = ("_hash", "_secret", "algorithm", "kid")

    def __init__(self, secret: bytes, algorithm: str, kid: str) -> None:
        """``ValueError`` for a secret shorter than the hash (RFC 7518 section 3.2), or one that is a public key.

        There is no default ``kid``: the thumbprint of a weak secret would give it away.
        """
        if algorithm not in SECRET_ALGORITHMS:
            raise ValueError(f"one of {', '.join(SECRET_ALGORITHMS)} is needed")
        if not 0 < len(kid) <= _MAX_KID:
            raise ValueError(f"the kid is no text of 1 to {_MAX_KID} characters")
        self._hash = SECRET_ALGORITHMS[algorithm]
        size = hashlib.new(self._hash).digest_size
        if len(secret) < size:
            raise ValueError(f"a secret for {algorithm} has at least {size} bytes")
        if _PUBLISHED.search(_plain(secret)) or _is_der(secret) or _is_der(_unarmoured(secret)):
            raise ValueError("a key or certificate is no secret")
        self._secret = secret
        self.algorithm = algorithm
        self.kid = kid

    @classmethod
    def from_jwk(cls, document: Mapping[str, object]) -> Self:
        """Read a symmetric JWK (``kty`` oct) that has ``alg`` and ``kid``; ``ValueError`` for one that is unfit."""
        text, name, kid, operations = (document.get(member) for member in ("k", "alg", "kid", "key_ops"))
        if document.get("kty") != "oct" or not isinstance(text, str) or not text.isascii():
            raise ValueError("no symmetric key (kty oct, with k)")
        if not isinstance(name, str) or not isinstance(kid, str):
            raise ValueError("a symmetric key needs alg and kid")
        if document.get("use", "sig") != "sig":
            raise ValueError("the key is not for signatures (use)")
        if "key_ops" in document and (not isinstance(operations, list) or "verify" not in operations):
            raise ValueError("the key is not for this (key_ops)")
        try:
            return cls(b64url_decode(text.encode()), name, kid)
        except NotStrict:
            raise ValueError("the member k is not base64url") from None

    def verify(self, signature: bytes, data: bytes) -> bool:
        """True if this secret made ``signature`` over ``data``, compared in constant time."""
        return hmac.compare_digest(hmac.digest(self._secret, data, self._hash), signature)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __repr__(self) -> str:
        return f"SecretKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


@final
class SecretKeySet:
    """Secrets, each under its own ``kid``; nothing else is ever in the set, and no document is made of it."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[SecretKey]) -> None:
        """``ValueError`` for none, or if two share a ``kid``."""
        given = list(secrets)
        self._secrets = {secret.kid: secret for secret in given}
        if not given or len(self._secrets) != len(given):
            raise ValueError("no secret, or two of one kid")

    @classmethod
    def from_jwks(cls, document: Mapping[str, object] | str | bytes) -> Self:
        """Read a JWK Set of symmetric keys alone; ``ValueError`` if any member is unfit or of another kind."""
        if isinstance(document, str | bytes):
            document = json_object(document.encode() if isinstance(document, str) else document)
        members = document.get("keys")
        if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
            raise ValueError("no JWK Set: keys is not a list of objects")
        return cls(SecretKey.from_jwk(member) for member in members)

    def find(self, kid: str) -> SecretKey:
        """The secret of exactly that name; `UnknownKey` otherwise."""
        secret = self._secrets.get(kid)
        if secret is None:
            raise UnknownKey("no secret of that kid")
        return secret

    def __repr__(self) -> str:
        return f"SecretKeySet({list(self._secrets)})"


def _plain(text: bytes) -> bytes:
    """Without what UTF-16 and byte order marks put around a text's characters."""
    return text.translate(None, b"\0").removeprefix(b"\xef\xbb\xbf").strip(b"\xfe\xff")


def _is_der(data: bytes) -> bool:
    """Whether this is a public key (SubjectPublicKeyInfo, or PKCS 1) or a certificate in DER."""
    for load in (serialization.load_der_public_key, load_der_x509_certificate):
        try:
            load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _unarmoured(text: bytes) -> bytes:
    """What a PEM's lines hold once its first and last are gone; empty if this is no base64."""
    try:
        return binascii.a2b_base64(text)
    except ValueError:
        return b""
