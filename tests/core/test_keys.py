"""Keys: one key, one algorithm, one name; and no secret in any text."""

import copy
import pickle
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from watchword import Key, PublicKey
from watchword.core.algorithms import ALGORITHMS

NAMES = tuple(ALGORITHMS)


@pytest.mark.parametrize("name", NAMES)
class TestEachAlgorithm:
    """What holds for keys of every algorithm."""

    def test_jwk_round_trip(self, name: str, keys: Mapping[str, Key]) -> None:
        """Written as a JWK and read again, a key is the same, its name and algorithm included."""
        key = keys[name]
        twin = Key.from_jwk(key.to_jwk())
        assert twin.to_jwk() == key.to_jwk()
        assert (twin.kid, twin.algorithm) == (f"test-{name}", name)
        assert PublicKey.from_jwk(key.public.to_jwk()).verify(twin.sign(b"data"), b"data")

    @pytest.mark.parametrize("passphrase", [None, "pass-phrase é", b"\xff\x00"])
    def test_pem_round_trip(self, name: str, keys: Mapping[str, Key], passphrase: str | bytes | None) -> None:
        """Written as PEM and read again, too; name and algorithm go beside it."""
        key = keys[name]
        pem = key.to_pem(passphrase)
        assert ("ENCRYPTED" in pem) is (passphrase is not None)
        twin = Key.from_pem(pem, name, passphrase=passphrase, kid=key.kid)
        assert twin.to_jwk() == key.to_jwk()
        public = PublicKey.from_pem(key.public.to_pem().encode(), name, kid=key.kid)
        assert public.to_jwk() == key.public.to_jwk()
        assert public.thumbprint == key.public.thumbprint

    def test_texts_show_no_secret(self, name: str, keys: Mapping[str, Key]) -> None:
        """str and repr name a key and show nothing else; the public side holds no private member."""
        key = keys[name]
        assert repr(key) == f"Key(kid='test-{name}', algorithm='{name}')"
        assert str(key) == f"{key}" == repr(key)
        assert repr(key.public) == f"PublicKey(kid='test-{name}', algorithm='{name}')"
        assert set(key.public.to_jwk()) <= {"kty", "n", "e", "crv", "x", "y", "kid", "alg", "use"}
        assert "PRIVATE" not in key.public.to_pem()


class TestPem:
    """What is no PEM key of ours is a ``ValueError`` that quotes nothing."""

    @pytest.mark.parametrize(
        "pem", ["", b"", "text", b"\xff", "\ud800", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    )
    def test_junk(self, pem: str | bytes) -> None:
        """Junk, and the frame of a key around junk."""
        with pytest.raises(ValueError, match="no readable PEM public key"):
            PublicKey.from_pem(pem)
        with pytest.raises(ValueError, match="no readable PEM private key"):
            Key.from_pem(pem)

    def test_sides(self, keys: Mapping[str, Key]) -> None:
        """A private key is not read where a public one belongs, nor the other way round."""
        with pytest.raises(ValueError, match="no readable PEM public key"):
            PublicKey.from_pem(keys["ES256"].to_pem())
        with pytest.raises(ValueError, match="no readable PEM private key"):
            Key.from_pem(keys["ES256"].public.to_pem())

    def test_passphrase(self, keys: Mapping[str, Key]) -> None:
        """Missing, wrong or needless: each an error, as each means that something is not as believed."""
        locked = keys["ES256"].to_pem("right")
        for passphrase in (None, "wrong", b""):
            with pytest.raises(ValueError, match="passphrase"):
                Key.from_pem(locked, passphrase=passphrase)
        with pytest.raises(ValueError, match="passphrase"):
            Key.from_pem(keys["ES256"].to_pem(), passphrase="needless")
        with pytest.raises(ValueError, match=r"\w"):
            keys["ES256"].to_pem("")

    def test_other_types(self) -> None:
        """Keys that sign no tokens: X25519, Ed448, curves that are not on the list."""
        spki, pkcs8 = PublicFormat.SubjectPublicKeyInfo, PrivateFormat.PKCS8
        for private in (
            x25519.X25519PrivateKey.generate(),
            ed448.Ed448PrivateKey.generate(),
            ec.generate_private_key(ec.SECP256K1()),
        ):
            with pytest.raises(ValueError, match=r"type|curve"):
                PublicKey.from_pem(private.public_key().public_bytes(Encoding.PEM, spki))
            with pytest.raises(ValueError, match=r"type|curve"):
                Key.from_pem(private.private_bytes(Encoding.PEM, pkcs8, NoEncryption()))

    def test_algorithm_must_fit(self, keys: Mapping[str, Key]) -> None:
        """A PEM does not name its algorithm; the one given must be of its type, and unknown ones are refused."""
        for name in ("RS256", "ES384", "HS256", "none", ""):
            with pytest.raises(ValueError, match=r"does not fit|unknown algorithm"):
                PublicKey.from_pem(keys["ES256"].public.to_pem(), name)
        assert PublicKey.from_pem(keys["PS512"].public.to_pem()).algorithm == "RS256"

    def test_pkcs_1(self, keys: Mapping[str, Key]) -> None:
        """The older frame of RSA public keys is read as well."""
        private = rsa.generate_private_key(65537, 2048)
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        assert PublicKey.from_pem(pem).verify(Key(private).sign(b"data"), b"data")


class TestName:
    """The ``kid``."""

    def test_thumbprint_by_default(self) -> None:
        """A key without a name is called by its RFC 7638 thumbprint."""
        key = Key.generate("Ed25519")
        assert key.kid == key.public.thumbprint
        assert len(key.kid) == 43

    @pytest.mark.parametrize("kid", ["", "x" * 256])
    def test_length(self, keys: Mapping[str, Key], kid: str) -> None:
        """1 to 255 characters, wherever the name comes from."""
        with pytest.raises(ValueError, match="255"):
            PublicKey.from_pem(keys["ES256"].public.to_pem(), kid=kid)
        with pytest.raises(ValueError, match="255"):
            Key.from_jwk(keys["ES256"].to_jwk() | {"kid": kid})

    @pytest.mark.parametrize("kid", [None, 5, ["a"], {}])
    def test_type(self, keys: Mapping[str, Key], kid: object) -> None:
        """In a JWK the name is a text, or missing."""
        with pytest.raises(ValueError, match="kid"):
            PublicKey.from_jwk({**keys["ES256"].public.to_jwk(), "kid": kid})

    def test_missing(self, keys: Mapping[str, Key]) -> None:
        """A JWK without a name gets its thumbprint."""
        jwk = keys["ES256"].public.to_jwk()
        del jwk["kid"]
        assert PublicKey.from_jwk(jwk).kid == keys["ES256"].public.thumbprint


class TestGenerate:
    """New keys."""

    def test_bits(self) -> None:
        """RSA keys take a size, the least one included."""
        key = Key.generate("PS256", bits=2048)
        assert key.algorithm == "PS256"
        assert len(key.sign(b"")) == 256

    @pytest.mark.parametrize(
        ("name", "bits"), [("RS256", 2047), ("RS256", 1024), ("RS256", 8193), ("ES256", 2048), ("Ed25519", 256)]
    )
    def test_bits_refused(self, name: str, bits: int) -> None:
        """Sizes out of range, or for keys that have none."""
        with pytest.raises(ValueError, match="bits are for RSA"):
            Key.generate(name, bits=bits)

    @pytest.mark.parametrize("name", ["HS256", "none", "rs256", ""])
    def test_unknown(self, name: str) -> None:
        """No key for an algorithm that is not there."""
        with pytest.raises(ValueError, match="unknown algorithm"):
            Key.generate(name)

    def test_weak_keys_from_elsewhere(self) -> None:
        """A key object that somebody else made is held to the same rules."""
        for private in (rsa.generate_private_key(65537, 1024), rsa.generate_private_key(3, 2048)):  # noqa: S505
            with pytest.raises(ValueError, match="RSA"):
                Key(private)


class TestSecrecy:
    """A private key leaves by `to_pem` and `to_jwk` alone."""

    def test_no_copies(self, keys: Mapping[str, Key]) -> None:
        """Neither pickled nor copied."""
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled"):
                act(keys["ES256"])

    def test_no_loose_attributes(self, keys: Mapping[str, Key]) -> None:
        """``vars`` has nothing to show."""
        assert not hasattr(keys["ES256"], "__dict__")
        assert not hasattr(keys["ES256"].public, "__dict__")

    def test_a_public_jwk_is_no_key(self, keys: Mapping[str, Key]) -> None:
        """What should sign needs its private members, and what should verify must have none."""
        with pytest.raises(ValueError, match="member d"):
            Key.from_jwk(keys["ES256"].public.to_jwk())
        with pytest.raises(ValueError, match="private key"):
            PublicKey.from_jwk(keys["ES256"].to_jwk())
