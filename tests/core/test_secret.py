"""Shared secrets: what a public key says is never one, and nothing else makes one."""

import base64
import hashlib
import hmac
import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from watchword import Key, KeySet, PublicKey, Refused, Verifier
from watchword.core.algorithms import ALGORITHMS
from watchword.core.encoding import b64url_encode
from watchword.core.secret import SECRET_ALGORITHMS, SecretKey, SecretKeySet
from watchword.core.verifier import Keys
from watchword.errors import UnknownKey

SIZES = {"HS256": 32, "HS384": 48, "HS512": 64}
SECRET = bytes(range(64))


def oct_jwk(**members: object) -> dict[str, object]:
    """A good symmetric JWK, with these members changed; None leaves one out."""
    document = {"kty": "oct", "k": b64url_encode(SECRET), "alg": "HS256", "kid": "shared"} | members
    return {name: value for name, value in document.items() if value is not None}


def certificate(encoding: Encoding) -> bytes:
    """A certificate of a new key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "auth.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, SHA256()).public_bytes(encoding)


class TestSecretKey:
    """One secret, one algorithm, one name."""

    @pytest.mark.parametrize("name", SIZES)
    def test_verifies_its_own_mac(self, name: str) -> None:
        """Only the whole MAC, of these data, by this secret and this hash."""
        key = SecretKey(SECRET, name, "shared")
        mac = hmac.digest(SECRET, b"data", SECRET_ALGORITHMS[name])
        assert key.verify(mac, b"data")
        assert not key.verify(mac, b"date")
        assert not SecretKey(SECRET[::-1], name, "shared").verify(mac, b"data")
        for wrong in (b"", mac[:-1], mac + b"\0", mac[::-1], hashlib.sha256(b"data").digest()):
            assert not key.verify(wrong, b"data")

    @pytest.mark.parametrize(("name", "size"), SIZES.items())
    def test_as_long_as_the_hash(self, name: str, size: int) -> None:
        """RFC 7518 section 3.2."""
        assert SecretKey(SECRET[:size], name, "shared").algorithm == name
        with pytest.raises(ValueError, match=f"at least {size} bytes"):
            SecretKey(SECRET[: size - 1], name, "shared")

    def test_no_algorithm_of_two_tables(self) -> None:
        """What signs is no MAC, and what is a MAC signs not."""
        assert SECRET_ALGORITHMS.keys().isdisjoint(ALGORITHMS)
        for name in ("RS256", "hs256", "none", "HS1", ""):
            with pytest.raises(ValueError, match="one of HS256, HS384, HS512"):
                SecretKey(SECRET, name, "shared")

    @pytest.mark.parametrize("kid", ["", "x" * 256])
    def test_it_has_a_name(self, kid: str) -> None:
        """Of 1 to 255 characters; there is no default, as a weak secret's thumbprint would give it away."""
        with pytest.raises(ValueError, match="kid"):
            SecretKey(SECRET, "HS256", kid)
        assert SecretKey(SECRET, "HS256", "x" * 255).kid == "x" * 255
        assert SecretKey(SECRET, "HS256", "x").kid == "x"

    def test_it_stays_inside(self) -> None:
        """Neither its repr nor pickle gives it away."""
        key = SecretKey(SECRET, "HS256", "shared")
        assert repr(key) == "SecretKey(kid='shared', algorithm='HS256')"
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(key)

    @given(st.binary(min_size=32, max_size=100))
    def test_random_bytes_are_secrets(self, secret: bytes) -> None:
        """The search for public keys takes no good secret away."""
        assert SecretKey(secret, "HS256", "shared").verify(hmac.digest(secret, b"", "sha256"), b"")


class TestPublicKeysAreNoSecrets:
    """The oldest of all attacks on tokens: HMAC with the public key's text as its secret."""

    @pytest.mark.parametrize("name", ["RS256", "ES256", "ES512", "Ed25519"])
    def test_published_forms(self, keys: Mapping[str, Key], name: str) -> None:
        """PEM, DER, the lines of OpenSSH and JSON Web Keys, with what mail and editors put around them."""
        public = keys[name].public
        key = public._key
        spki = PublicFormat.SubjectPublicKeyInfo
        line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        pem, der = public.to_pem().encode(), key.public_bytes(Encoding.DER, spki)
        forms = [pem, b"\n" + pem, pem.replace(b"\n", b"\r\n"), pem.rstrip(), b"\xef\xbb\xbf" + pem, der]
        forms += [base64.b64encode(der), base64.encodebytes(der), b" " + line, line + b" ada@home", line.split()[1]]
        forms += [json.dumps(public.to_jwk()).encode(), json.dumps(KeySet([public]).to_jwks(), indent=1).encode()]
        text = json.dumps([public.to_jwk()])
        forms += [text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), public.to_pem().encode("utf-16")]
        for form in forms:
            with pytest.raises(ValueError, match="no secret"):
                SecretKey(form, "HS256", "shared")
            with pytest.raises(ValueError, match="no secret"):
                SecretKey.from_jwk(oct_jwk(k=b64url_encode(form)))

    def test_pkcs_1(self, keys: Mapping[str, Key]) -> None:
        """The older form of RSA keys."""
        for encoding in (Encoding.DER, Encoding.PEM):
            with pytest.raises(ValueError, match="no secret"):
                SecretKey(keys["RS256"].public._key.public_bytes(encoding, PublicFormat.PKCS1), "HS256", "shared")

    @pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
    def test_certificates(self, encoding: Encoding) -> None:
        """They are as public as the keys in them."""
        with pytest.raises(ValueError, match="no secret"):
            SecretKey(certificate(encoding), "HS256", "shared")


class TestFromJwk:
    """A symmetric JWK says what it is for."""

    def test_good(self) -> None:
        """With ``use`` and ``key_ops`` or without."""
        for more in ({}, {"use": "sig"}, {"key_ops": ["sign", "verify"]}):
            assert SecretKey.from_jwk(oct_jwk(**more)).kid == "shared"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kty": "RSA"},
            {"kty": None},
            {"k": None},
            {"k": 5},
            {"k": "ä" * 64},
            {"k": b64url_encode(SECRET) + "="},
            {"k": ""},
            {"k": b64url_encode(SECRET[:31])},
            {"alg": None},
            {"alg": 5},
            {"alg": "A256KW"},
            {"alg": "RS256"},
            {"kid": None},
            {"kid": 5},
            {"kid": ""},
            {"use": "enc"},
            {"use": None, "key_ops": ["sign"]},
            {"key_ops": "verify"},
            {"key_ops": []},
        ],
        ids=str,
    )
    def test_unfit(self, wrong: dict[str, object]) -> None:
        """Anything else is refused, without a word of what it holds."""
        with pytest.raises(ValueError, match=r"^[^=ä]+$") as refused:
            SecretKey.from_jwk(oct_jwk(**wrong))
        assert refused.value.__cause__ is None

    def test_public_readers_refuse_it(self) -> None:
        """No public key and no set of public keys comes of a secret."""
        with pytest.raises(ValueError, match="kty"):
            PublicKey.from_jwk(oct_jwk())
        with pytest.raises(ValueError, match="symmetric"):
            KeySet.from_jwks({"keys": [oct_jwk()]})


class TestSecretKeySet:
    """Several secrets of one issuer, while it changes them."""

    def test_find(self) -> None:
        """Exactly by name, as public keys are found; the repr gives names only."""
        one, other = oct_jwk(), oct_jwk(kid="next", alg="HS512")
        for document in ({"keys": [one, other]}, json.dumps({"keys": [one, other]})):
            secrets = SecretKeySet.from_jwks(document)
            assert (secrets.find("shared").algorithm, secrets.find("next").algorithm) == ("HS256", "HS512")
            with pytest.raises(UnknownKey, match="no secret"):
                secrets.find("Shared")
            assert repr(secrets) == "SecretKeySet(['shared', 'next'])"

    def test_nothing_else_is_in_it(self, keys: Mapping[str, Key]) -> None:
        """A set that mixes secrets with public or private keys, repeats a name or is empty is refused."""
        for member in (keys["ES256"].public.to_jwk(), keys["ES256"].to_jwk(), oct_jwk(), oct_jwk(k="AA")):
            with pytest.raises(ValueError, match=r"symmetric|one kid|at least"):
                SecretKeySet.from_jwks({"keys": [oct_jwk(), member]})

    @pytest.mark.parametrize("document", ['{"keys": []}', "{}", '{"keys": {}}', '{"keys": ["k"]}', b"[]", b"{"])
    def test_no_set(self, document: str | bytes) -> None:
        """A set without a member, or what is no JWK Set, is refused."""
        with pytest.raises(ValueError, match=r"no secret|JWK Set|JSON"):
            SecretKeySet.from_jwks(document)


class TestInAVerifier:
    """Tokens of a foreign issuer that shares a secret with us."""

    @staticmethod
    def token(algorithm: str = "HS256", secret: bytes = SECRET, **header: object) -> str:
        """A good token of that issuer."""
        head = {"alg": algorithm, "kid": "shared", "typ": "at+jwt"} | header
        claims = {"iss": "https://else.example", "sub": "u", "aud": "orders", "iat": 1000, "exp": 1300}
        signed = ".".join(b64url_encode(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{b64url_encode(hmac.digest(secret, signed.encode(), f'sha{algorithm[2:]}'))}"

    @staticmethod
    def verifier(keys: Keys, **settings: Any) -> Verifier:
        """What that issuer's tokens are held against."""
        excused = ["client_id", "jti"]
        return Verifier("https://else.example", "orders", keys, excused=excused, clock=lambda: 1100, **settings)

    @pytest.mark.parametrize("algorithm", SECRET_ALGORITHMS)
    def test_a_token_under_the_secret_stands(self, algorithm: str) -> None:
        """Twice, with the secret alone or in a set."""
        secret = SecretKey(SECRET, algorithm, "shared")
        for keys in (secret, SecretKeySet([secret])):
            verifier = self.verifier(keys)
            assert verifier.verify(self.token(algorithm)).subject == "u"
            assert verifier.verify(self.token(algorithm)).subject == "u"

    @pytest.mark.parametrize(
        ("token", "code"),
        [
            ({"secret": SECRET[::-1]}, "bad_signature"),
            ({"kid": "another"}, "unknown_key"),
            ({"algorithm": "HS512"}, "algorithm_not_allowed"),
            ({"alg": "none"}, "algorithm_not_allowed"),
            ({"alg": "RS256"}, "algorithm_not_allowed"),
            ({"typ": "JWT"}, "wrong_token_type"),
        ],
    )
    def test_others_do_not(self, token: dict[str, Any], code: str) -> None:
        """Another secret, name, algorithm or kind."""
        with pytest.raises(Refused) as refusal:
            self.verifier(SecretKey(SECRET, "HS256", "shared")).verify(self.token(**token))
        assert refusal.value.code == code

    def test_keys_and_secrets_never_meet(self, keys: Mapping[str, Key]) -> None:
        """No verifier allows both kinds, and one of public keys knows no MAC under any name."""
        secret, public = SecretKey(SECRET, "HS256", "shared"), keys["RS256"].public
        for one, names in ((secret, ["RS256"]), (secret, ["HS256", "RS256"]), (public, ["HS256"]), (secret, [])):
            with pytest.raises(ValueError, match="algorithms"):
                self.verifier(one, algorithms=names)
        with pytest.raises(TypeError, match="public keys"):
            self.verifier([public, secret])  # type: ignore[list-item]
        forged = self.token(secret=public.to_pem().encode(), kid=public.kid)
        with pytest.raises(Refused) as refusal:
            self.verifier(public).verify(forged)
        assert refusal.value.code == "algorithm_not_allowed"
