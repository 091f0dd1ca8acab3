"""Signing keys and what verifies them: one key, one algorithm, one name (``kid``)."""

from collections.abc import Mapping
from typing import Final, Self, final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from watchword.core import jwk as jwks
from watchword.core.algorithms import RSA_BITS, PrivateKeyTypes, PublicKeyTypes, algorithm

_MAX_KID: Final = 255  # characters


@final
class PublicKey:
    """A key that verifies, with the one ``algorithm`` that it is for and its ``kid``.

    ``verify(signature, data)`` is True if this key made the signature; no signature makes it raise.
    """

    __slots__ = ("_key", "algorithm", "kid", "verify")

    def __init__(self, key: PublicKeyTypes, algorithm_name: str | None = None, kid: str | None = None) -> None:
        """``kid`` is the RFC 7638 thumbprint unless another name is given. ``ValueError`` for a key that is unfit."""
        if kid is not None and not 0 < len(kid) <= _MAX_KID:
            raise ValueError(f"the kid is no text of 1 to {_MAX_KID} characters")
        row = jwks.checked_algorithm(key, algorithm_name)
        self.algorithm = row.name
        self.verify = row.verifier(key)
        self._key = key
        self.kid = kid if kid is not None else jwks.thumbprint(key)

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint of RFC 7638."""
        return jwks.thumbprint(self._key)

    @classmethod
    def from_jwk(cls, document: Mapping[str, object]) -> Self:
        """Read a public JWK (RFC 7517); ``ValueError`` for one that is unfit, or that holds private members."""
        row, key = jwks.public_from_jwk(document)
        return cls(key, row.name, _kid(document))

    def to_jwk(self) -> dict[str, str]:
        """The public JWK with ``kid``, ``alg`` and ``use``."""
        return jwks.public_to_jwk(self._key) | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}

    @classmethod
    def from_pem(cls, pem: str | bytes, algorithm_name: str | None = None, kid: str | None = None) -> Self:
        """Read a PEM public key (SubjectPublicKeyInfo, or PKCS 1); ``ValueError`` for anything else."""
        try:
            key = serialization.load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("no readable PEM public key") from None
        if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            raise ValueError("no key of a type that signs tokens")
        return cls(key, algorithm_name, kid)

    def to_pem(self) -> str:
        """The key as PEM (SubjectPublicKeyInfo)."""
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_bytes(serialization.Encoding.PEM, spki).decode()

    def __repr__(self) -> str:
        return f"PublicKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


@final
class Key:
    """A private key: ``sign(data)`` gives a signature as a JWS carries it.

    Its repr shows its name only, and it refuses to be pickled.
    """

    __slots__ = ("_key", "public", "sign")

    def __init__(self, key: PrivateKeyTypes, algorithm_name: str | None = None, kid: str | None = None) -> None:
        """``ValueError`` for a key that is unfit, among them RSA below 2048 bits."""
        self.public = PublicKey(key.public_key(), algorithm_name, kid)
        self.sign = algorithm(self.public.algorithm).signer(key)
        self._key = key

    @classmethod
    def generate(cls, algorithm_name: str = "RS256", *, bits: int | None = None) -> Self:
        """Make a new key for one algorithm, such as RS256, PS256, ES256 or Ed25519.

        ``bits`` is for RSA alone: 3072 by default, 2048 to 8192 accepted; ``ValueError`` otherwise.
        """
        row = algorithm(algorithm_name)
        if bits is None:
            return cls(row.generate(), row.name)
        if row.key_type != "RSA" or bits not in RSA_BITS:
            raise ValueError(f"bits are for RSA keys and from {RSA_BITS[0]} to {RSA_BITS[-1]}")
        return cls(rsa.generate_private_key(65537, bits), row.name)

    @property
    def kid(self) -> str:
        """The key's name in tokens and key sets."""
        return self.public.kid

    @property
    def algorithm(self) -> str:
        """The algorithm's name."""
        return self.public.algorithm

    @classmethod
    def from_jwk(cls, document: Mapping[str, object]) -> Self:
        """Read a private JWK; ``ValueError`` for one that is unfit."""
        row, key = jwks.private_from_jwk(document)
        return cls(key, row.name, _kid(document))

    def to_jwk(self) -> dict[str, str]:
        """The private JWK: a secret."""
        return jwks.private_to_jwk(self._key) | {"kid": self.kid, "alg": self.algorithm, "use": "sig"}

    @classmethod
    def from_pem(
        cls,
        pem: str | bytes,
        algorithm_name: str | None = None,
        *,
        passphrase: str | bytes | None = None,
        kid: str | None = None,
    ) -> Self:
        """Read a PEM private key; ``ValueError`` if it is unfit, or the passphrase is missing, wrong or needless."""
        secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
        try:
            key = serialization.load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, secret)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("no readable PEM private key, or its passphrase does not fit") from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise ValueError("no key of a type that signs tokens")
        return cls(key, algorithm_name, kid)

    def to_pem(self, passphrase: str | bytes | None = None) -> str:
        """The key as PKCS 8 PEM, encrypted where a passphrase is given."""
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
            protection = serialization.BestAvailableEncryption(secret)
        pkcs8 = serialization.PrivateFormat.PKCS8
        return self._key.private_bytes(serialization.Encoding.PEM, pkcs8, protection).decode()

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled; use to_pem with a passphrase")

    def __repr__(self) -> str:
        return f"Key(kid={self.kid!r}, algorithm={self.algorithm!r})"


def _kid(document: Mapping[str, object]) -> str | None:
    if "kid" not in document:
        return None
    kid = document["kid"]
    if not isinstance(kid, str):
        raise ValueError("the kid is no text")
    return kid
