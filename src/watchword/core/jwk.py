"""JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2): members in, checked keys out, and back."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from watchword.core.algorithms import (
    RSA_BITS,
    Algorithm,
    PrivateKeyTypes,
    PublicKeyTypes,
    algorithm,
    default_algorithm,
)
from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode, json_encode

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "priv"})
_EC_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_RSA_EXPONENTS: Final = range(65537, 2**32, 2)

_P25519: Final = 2**255 - 19
_D25519: Final = -121665 * pow(121666, -1, _P25519) % _P25519
_ORDER_8 = 55188659117513257062467267217118295137698188065244968500265048394206261417927
# The y coordinates of the eight points of small order: under such a key anybody can make signatures that verify.
_SMALL_ORDER: Final = frozenset({0, 1, _P25519 - 1, _ORDER_8, _P25519 - _ORDER_8})


def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


# A flawed smart-card library made every prime of the form k*M + 65537^a mod M, M a product of the first primes; so the
# modulus is a power of 65537 modulo each of them, and can be factored (CVE-2017-15361, "ROCA"). Where 65537 generates
# few residues the fingerprint tells; a good key has it once in 2^27.
_ROCA: Final = {
    p: _powers_of_65537(p) for p in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


def public_to_jwk(key: PublicKeyTypes) -> dict[str, str]:
    """The members that RFC 7638 section 3.2 requires, in its order, and no others."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"e": _uint(numbers.e), "kty": "RSA", "n": _uint(numbers.n)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.curve.key_size + 7) // 8
        point = key.public_numbers()
        return {
            "crv": _ec_name(key.curve),
            "kty": "EC",
            "x": b64url_encode(point.x.to_bytes(size, "big")),
            "y": b64url_encode(point.y.to_bytes(size, "big")),
        }
    return {"crv": "Ed25519", "kty": "OKP", "x": b64url_encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def private_to_jwk(key: PrivateKeyTypes) -> dict[str, str]:
    """The public members and the private ones."""
    public = public_to_jwk(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey):
        secret = key.private_numbers()
        parts = {"d": secret.d, "p": secret.p, "q": secret.q}
        parts |= {"dp": secret.dmp1, "dq": secret.dmq1, "qi": secret.iqmp}
        return public | {name: _uint(value) for name, value in parts.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        return public | {"d": b64url_encode(key.private_numbers().private_value.to_bytes(size, "big"))}
    return public | {"d": b64url_encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))}


def thumbprint(key: PublicKeyTypes) -> str:
    """The SHA-256 thumbprint of RFC 7638, base64url: 43 characters."""
    return b64url_encode(hashlib.sha256(json_encode(public_to_jwk(key))).digest())


def public_from_jwk(jwk: Mapping[str, object]) -> tuple[Algorithm, PublicKeyTypes]:
    """Read and check a public signature key; ``ValueError`` for anything else, a private key included."""
    if not isinstance(jwk, Mapping):
        raise ValueError("a JWK is an object")
    if not PRIVATE_MEMBERS.isdisjoint(jwk) or ("k" in jwk and jwk.get("kty") != "oct"):
        raise ValueError("a private key where a public one is expected")
    _check_purpose(jwk, "verify")
    key = _reader(jwk)(jwk)
    return checked_algorithm(key, jwk.get("alg")), key


def private_from_jwk(jwk: Mapping[str, object]) -> tuple[Algorithm, PrivateKeyTypes]:
    """Read and check a private signature key; ``ValueError`` for anything else."""
    if "oth" in jwk:
        raise ValueError("an RSA key of more than two primes (oth)")
    _check_purpose(jwk, "sign")
    public = _reader(jwk)(jwk)
    row = checked_algorithm(public, jwk.get("alg"))
    private = _private(jwk, public)
    if public_to_jwk(private.public_key()) != public_to_jwk(public):
        raise ValueError("the private members do not belong to the public ones")
    return row, private


def checked_algorithm(key: PublicKeyTypes, name: object = None) -> Algorithm:
    """Check a key by our rules and give its algorithm: the one named, or its type's default; else ``ValueError``."""
    curve = None
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa(key)
        key_type = "RSA"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key_type, curve = "EC", _ec_name(key.curve)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        _check_ed25519(key)
        key_type, curve = "OKP", "Ed25519"
    else:
        raise ValueError("no key of a type that signs tokens")
    if name is None:
        return default_algorithm(key_type, curve)
    row = algorithm(name) if isinstance(name, str) else None
    if row is None or (row.key_type, row.curve) != (key_type, curve):
        raise ValueError("the algorithm does not fit the key")
    return row


def _check_purpose(jwk: Mapping[str, object], operation: str) -> None:
    if not isinstance(jwk.get("alg", ""), str):
        raise ValueError("the member alg is no text")
    if jwk.get("use", "sig") != "sig":
        raise ValueError("the key is not for signatures (use)")
    if "key_ops" in jwk:
        operations = jwk["key_ops"]
        if not isinstance(operations, list) or operations.count(operation) != 1:
            raise ValueError("the key is not for this (key_ops)")


def _check_rsa(key: rsa.RSAPublicKey) -> None:
    numbers = key.public_numbers()
    if key.key_size not in RSA_BITS:
        raise ValueError(f"RSA keys have {RSA_BITS[0]} to {RSA_BITS[-1]} bits here, not {key.key_size}")
    if numbers.n % 2 == 0 or numbers.e not in _RSA_EXPONENTS:
        raise ValueError("an even RSA modulus, or an RSA exponent other than an odd 65537 to 2^32")
    if all(numbers.n % prime in powers for prime, powers in _ROCA.items()):
        raise ValueError("an RSA key with the fingerprint of a flawed generator (CVE-2017-15361)")


def _check_ed25519(key: ed25519.Ed25519PublicKey) -> None:
    y = int.from_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") & (2**255 - 1)
    if y >= _P25519 or y in _SMALL_ORDER:
        raise ValueError("an Ed25519 key of small order or in a spelling that is not canonical")
    u, v = y * y - 1, _D25519 * y * y + 1  # x^2 = u / v has a root if u * v is a square (RFC 8032 section 5.1.3)
    if pow(u * v, (_P25519 - 1) // 2, _P25519) != 1:
        raise ValueError("an Ed25519 key that is no point of the curve")


def _reader(jwk: Mapping[str, object]) -> Callable[[Mapping[str, object]], PublicKeyTypes]:
    reader = _READERS.get(jwk["kty"]) if isinstance(jwk.get("kty"), str) else None
    if reader is None:
        raise ValueError("a type of key (kty) that signs no tokens here")
    return reader


def _rsa_public(jwk: Mapping[str, object]) -> rsa.RSAPublicKey:
    n, e = _integer(jwk, "n"), _integer(jwk, "e")
    if n.bit_length() not in RSA_BITS or e not in _RSA_EXPONENTS:
        raise ValueError("an RSA key of a size or exponent that is not accepted")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _ec_public(jwk: Mapping[str, object]) -> ec.EllipticCurvePublicKey:
    name = jwk.get("crv")
    curve = _EC_CURVES.get(name) if isinstance(name, str) else None
    if curve is None:
        raise ValueError("an unknown curve")
    size = (curve.key_size + 7) // 8
    x, y = _octets(jwk, "x", size), _octets(jwk, "y", size)
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _okp_public(jwk: Mapping[str, object]) -> ed25519.Ed25519PublicKey:
    if jwk.get("crv") != "Ed25519":
        raise ValueError("an unknown curve")
    return ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))


_READERS: Final[Mapping[object, Callable[[Mapping[str, object]], PublicKeyTypes]]] = {
    "RSA": _rsa_public,
    "EC": _ec_public,
    "OKP": _okp_public,
}


def _private(jwk: Mapping[str, object], public: PublicKeyTypes) -> PrivateKeyTypes:
    if isinstance(public, rsa.RSAPublicKey):
        d, p, q, dp, dq, qi = (_integer(jwk, name) for name in ("d", "p", "q", "dp", "dq", "qi"))
        return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public.public_numbers()).private_key()
    if isinstance(public, ec.EllipticCurvePublicKey):
        scalar = _octets(jwk, "d", (public.curve.key_size + 7) // 8)
        return ec.derive_private_key(int.from_bytes(scalar, "big"), public.curve)
    return ed25519.Ed25519PrivateKey.from_private_bytes(_octets(jwk, "d", 32))


def _ec_name(curve: ec.EllipticCurve) -> str:
    for name, known in _EC_CURVES.items():
        if known.name == curve.name:
            return name
    raise ValueError("an unknown curve")


def _uint(value: int) -> str:
    return b64url_encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _octets(jwk: Mapping[str, object], name: str, size: int | None = None) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or not text.isascii():
        raise ValueError(f"the member {name} is missing or no text")
    try:
        data = b64url_decode(text.encode())
    except NotStrict:
        raise ValueError(f"the member {name} is not base64url") from None
    if not data or (size is not None and len(data) != size):
        raise ValueError(f"the member {name} has a wrong length")
    return data


def _integer(jwk: Mapping[str, object], name: str) -> int:
    data = _octets(jwk, name)
    if data[0] == 0:
        raise ValueError(f"the member {name} has leading zeros")
    return int.from_bytes(data, "big")
