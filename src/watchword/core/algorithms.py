"""The signature algorithms: one row each (RFC 7518 section 3, RFC 8037, RFC 9864).

Code elsewhere receives a row and never compares names. There is no symmetric row and no "none", so that no mistake
anywhere can verify a token with public text as its secret.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

PrivateKeyTypes = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKeyTypes = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One signature algorithm.

    ``signer`` and ``verifier`` take a key of this algorithm's type and give what signs data, or says whether a
    signature over data is its: True or False, never an exception for what the signature holds. All that can be
    prepared is prepared there, once for each key. ``curve`` is the JWK's ``crv`` where there is one.
    """

    name: str
    key_type: str
    curve: str | None
    generate: Callable[[], PrivateKeyTypes]
    signer: Callable[[PrivateKeyTypes], Sign]
    verifier: Callable[[PublicKeyTypes], Verify]


RSA_DEFAULT_BITS: Final = 3072
RSA_BITS: Final = range(2048, 8193)
"""Below 2048 bits RSA is weak (RFC 7518 section 3.3); above 8192 one verification becomes a lever against us."""

# L, the order of the base point (RFC 8032 section 5.1): S must be below it, or one signature has two spellings.
_ED25519_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


def _rsa(name: str, hash_: hashes.HashAlgorithm, scheme: padding.AsymmetricPadding) -> Algorithm:
    def generate() -> PrivateKeyTypes:
        return rsa.generate_private_key(65537, RSA_DEFAULT_BITS)

    def signer(key: PrivateKeyTypes) -> Sign:
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - a Key is made with its row, never with another
        sign = key.sign
        return lambda data: sign(data, scheme, hash_)

    def verifier(key: PublicKeyTypes) -> Verify:
        assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101
        size, check = (key.key_size + 7) // 8, key.verify

        def verify(signature: bytes, data: bytes) -> bool:
            if len(signature) != size:
                return False
            try:
                check(signature, data, scheme, hash_)
            except InvalidSignature:
                return False
            return True

        return verify

    return Algorithm(name, "RSA", None, generate, signer, verifier)


def _ecdsa(name: str, curve: ec.EllipticCurve, jwk_curve: str, hash_: hashes.HashAlgorithm) -> Algorithm:
    size = (curve.key_size + 7) // 8
    scheme, hashed_scheme = ec.ECDSA(hash_), ec.ECDSA(Prehashed(hash_))
    digest = getattr(hashlib, hash_.name)

    def generate() -> PrivateKeyTypes:
        return ec.generate_private_key(curve)

    def signer(key: PrivateKeyTypes) -> Sign:
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101
        make = key.sign

        def sign(data: bytes) -> bytes:
            # Hashed by hashlib, as the primitive takes twice as long for that: a fiftieth of an ES256 signature.
            return _raw(make(digest(data).digest(), hashed_scheme), size)

        return sign

    def verifier(key: PublicKeyTypes) -> Verify:
        assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101
        check = key.verify

        def verify(signature: bytes, data: bytes) -> bool:
            if len(signature) != 2 * size:
                return False
            try:
                check(_der(signature, size), data, scheme)
            except InvalidSignature:
                return False
            return True

        return verify

    return Algorithm(name, "EC", jwk_curve, generate, signer, verifier)


def _der(raw: bytes, size: int) -> bytes:
    """The DER that the primitive wants, of a signature as a JWS carries it: the reverse of `_raw`, for any bytes.

    In half the time that two integers and an encoder take: a hundredth of an ES256 verification.
    """
    r, s = raw[:size].lstrip(b"\0"), raw[size:].lstrip(b"\0")
    if not r or r[0] > 0x7F:
        r = b"\0" + r
    if not s or s[0] > 0x7F:
        s = b"\0" + s
    length = len(r) + len(s) + 4
    return b"\x30%b%c\x02%c%b\x02%c%b" % (b"\x81" if length > 0x7F else b"", length, len(r), r, len(s), s)


def _raw(der: bytes, size: int) -> bytes:
    """The signature as a JWS carries it (RFC 7518 section 3.4), cut out of the DER that our own primitive has made.

    Both are integers, big-endian: DER leaves out leading zeros, and adds one where the first bit would be a sign.
    """
    start = 4 if der[1] < 0x80 else 5  # a length above 127, as P-521 has it, takes one byte more
    middle = start + der[start - 1]
    return der[start:middle][-size:].rjust(size, b"\0") + der[middle + 2 :][-size:].rjust(size, b"\0")


def _ed25519(name: str) -> Algorithm:
    def generate() -> PrivateKeyTypes:
        return ed25519.Ed25519PrivateKey.generate()

    def signer(key: PrivateKeyTypes) -> Sign:
        assert isinstance(key, ed25519.Ed25519PrivateKey)  # noqa: S101
        return key.sign

    def verifier(key: PublicKeyTypes) -> Verify:
        assert isinstance(key, ed25519.Ed25519PublicKey)  # noqa: S101
        check = key.verify

        def verify(signature: bytes, data: bytes) -> bool:
            if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= _ED25519_ORDER:
                return False
            try:
                check(signature, data)
            except InvalidSignature:
                return False
            return True

        return verify

    return Algorithm(name, "OKP", "Ed25519", generate, signer, verifier)


def _pss(hash_: hashes.HashAlgorithm) -> padding.PSS:
    return padding.PSS(padding.MGF1(hash_), hash_.digest_size)  # the salt as long as the hash: RFC 7518 section 3.5


_256, _384, _512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        row.name: row
        for row in (
            _rsa("RS256", _256, padding.PKCS1v15()),
            _rsa("RS384", _384, padding.PKCS1v15()),
            _rsa("RS512", _512, padding.PKCS1v15()),
            _rsa("PS256", _256, _pss(_256)),
            _rsa("PS384", _384, _pss(_384)),
            _rsa("PS512", _512, _pss(_512)),
            _ecdsa("ES256", ec.SECP256R1(), "P-256", _256),
            _ecdsa("ES384", ec.SECP384R1(), "P-384", _384),
            _ecdsa("ES512", ec.SECP521R1(), "P-521", _512),
            _ed25519("EdDSA"),
            _ed25519("Ed25519"),
        )
    }
)


def algorithm(name: str) -> Algorithm:
    """The row of that exact name; ``ValueError`` for one that is unknown."""
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise ValueError(f"unknown algorithm; one of {', '.join(ALGORITHMS)} is needed") from None


def default_algorithm(key_type: str, curve: str | None) -> Algorithm:
    """What a key signs with when nothing else is said: the first row that fits its type and curve."""
    for row in ALGORITHMS.values():
        if (row.key_type, row.curve) == (key_type, curve):
            return row
    raise ValueError("no signature algorithm for this type of key")
