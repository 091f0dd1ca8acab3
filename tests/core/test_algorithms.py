"""Each algorithm verifies what it signed, in one form, and nothing else."""

from collections.abc import Mapping
from itertools import count

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword import Key
from watchword.core.algorithms import ALGORITHMS, RSA_DEFAULT_BITS, _der, _raw, algorithm, default_algorithm

DATA = b"header.payload"
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "Ed25519": 2**252 + 27742317777372353535851937790883648493,
}
NAMES = tuple(ALGORITHMS)


@pytest.mark.parametrize("name", NAMES)
class TestEachAlgorithm:
    """What holds for every row."""

    def test_verifies_its_own(self, name: str, keys: Mapping[str, Key]) -> None:
        """A signature over these bytes, and not over others."""
        signature = keys[name].sign(DATA)
        assert keys[name].public.verify(signature, DATA)
        assert not keys[name].public.verify(signature, DATA + b" ")
        assert not keys[name].public.verify(signature, b"")

    def test_length_is_exact(self, name: str, keys: Mapping[str, Key]) -> None:
        """Neither shorter nor longer, whichever end."""
        signature = keys[name].sign(DATA)
        for other in (b"", signature[:-1], signature[1:], signature + b"\0", b"\0" + signature, signature * 2):
            assert not keys[name].public.verify(other, DATA)

    def test_another_key_verifies_nothing(self, name: str, keys: Mapping[str, Key]) -> None:
        """Not even a key of the same type; between the RSA rows not even the same key under another name."""
        signature = keys[name].sign(DATA)
        same = {"EdDSA", "Ed25519"} if name in {"EdDSA", "Ed25519"} else {name}
        for other in ALGORITHMS.keys() - same:
            assert not keys[other].public.verify(signature, DATA)

    @settings(max_examples=40)
    @given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
    def test_each_bit_counts(self, name: str, keys: Mapping[str, Key], position: int, bit: int) -> None:
        """A signature with one bit changed is none."""
        signature = bytearray(keys[name].sign(DATA))
        signature[position % len(signature)] ^= 1 << bit
        assert not keys[name].public.verify(bytes(signature), DATA)

    @settings(max_examples=40)
    @given(junk=st.binary(max_size=600), data=st.binary(max_size=20), fill=st.sampled_from([None, 0, 255]))
    def test_junk_is_answered(
        self, name: str, keys: Mapping[str, Key], junk: bytes, data: bytes, fill: int | None
    ) -> None:
        """Any bytes as a signature get False, never an exception; of the right length, too."""
        size = len(keys[name].sign(DATA))
        right = bytes([fill]) * size if fill is not None else junk.ljust(size, b"\1")[:size]
        assert not keys[name].public.verify(junk, data)
        assert not keys[name].public.verify(right, data)


class TestEcdsa:
    """RFC 7518 section 3.4."""

    def test_der_is_refused(self, keys: Mapping[str, Key]) -> None:
        """The form is r and s side by side, never ASN.1."""
        signature = keys["ES256"].sign(DATA)
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        assert not keys["ES256"].public.verify(der, DATA)

    @pytest.mark.parametrize("r", [0, 1, ORDERS["ES256"], ORDERS["ES256"] + 1, 2**256 - 1])
    @pytest.mark.parametrize("s", [0, 1, ORDERS["ES256"], ORDERS["ES256"] + 1, 2**256 - 1])
    def test_range(self, keys: Mapping[str, Key], r: int, s: int) -> None:
        """Zero, the order and beyond are no signatures: r = s = 0 once opened every door (CVE-2022-21449)."""
        assert not keys["ES256"].public.verify(r.to_bytes(32, "big") + s.to_bytes(32, "big"), DATA)

    def test_small_r_and_s_are_padded(self, keys: Mapping[str, Key]) -> None:
        """A signature has its full length even where r or s begin with zeros."""
        lengths = {
            len(keys["ES512"].sign(bytes([n]))) for n in range(40)
        }  # 521 bits: half of all begin with a zero byte
        assert lengths == {132}

    @given(st.sampled_from([256, 384, 521]), st.data())
    def test_any_r_and_s(self, bits: int, data: st.DataObject) -> None:
        """Whatever their length in DER, both are cut out whole: with zeros in front, a sign's zero, a long length."""
        numbers = st.integers(1, bits).flatmap(lambda width: st.integers(2 ** (width - 1), 2**width - 1))
        r, s, size = data.draw(numbers), data.draw(numbers), (bits + 7) // 8
        assert _raw(encode_dss_signature(r, s), size) == r.to_bytes(size, "big") + s.to_bytes(size, "big")

    @pytest.mark.parametrize("size", [32, 48, 66])
    @given(data=st.data())
    def test_any_bytes_as_der(self, size: int, data: st.DataObject) -> None:
        """Whatever bytes come as a signature, zeros and numbers out of range too: the DER of these two integers."""
        halves = st.binary(min_size=size, max_size=size) | st.integers(0, size).flatmap(
            lambda zeros: st.binary(min_size=size - zeros, max_size=size - zeros).map(lambda rest: bytes(zeros) + rest)
        )
        r, s = data.draw(halves), data.draw(halves)
        assert _der(r + s, size) == encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

    def test_padding_is_not_optional(self, keys: Mapping[str, Key]) -> None:
        """Without the zeros that r or s begin with, the numbers are the same and the spelling is another."""
        signatures = {bytes([n]): keys["ES512"].sign(bytes([n])) for n in range(40)}
        short = {data: signature for data, signature in signatures.items() if signature[66] == 0}
        assert short
        for data, signature in short.items():
            assert keys["ES512"].public.verify(signature, data)
            assert not keys["ES512"].public.verify(signature[:66] + signature[67:], data)


class TestEd25519:
    """RFC 8032 section 5.1.7."""

    def test_s_is_canonical(self, keys: Mapping[str, Key]) -> None:
        """S plus the order is the same number to the curve, and another spelling; it is refused."""
        signature = keys["Ed25519"].sign(DATA)
        s = int.from_bytes(signature[32:], "little") + ORDERS["Ed25519"]
        assert not keys["Ed25519"].public.verify(signature[:32] + s.to_bytes(32, "little"), DATA)


class TestRsa:
    """RFC 8017 sections 8.1 and 8.2."""

    def test_signature_below_modulus(self, keys: Mapping[str, Key]) -> None:
        """A signature plus the modulus, where it still fits, is refused."""
        public = load_pem_private_key(keys["RS256"].to_pem().encode(), None).public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        modulus = public.public_numbers().n
        messages = (str(number).encode() for number in count())
        twins = ((message, int.from_bytes(keys["RS256"].sign(message), "big") + modulus) for message in messages)
        message, twin = next((message, twin) for message, twin in twins if twin < 2**2048)
        assert not keys["RS256"].public.verify(twin.to_bytes(256, "big"), message)

    @pytest.mark.parametrize("salt", [0, 31, 33, 64])
    def test_salt_is_as_long_as_the_hash(self, keys: Mapping[str, Key], salt: int) -> None:
        """PSS with another length of salt is another scheme (RFC 7518 section 3.5)."""
        private = load_pem_private_key(keys["PS256"].to_pem().encode(), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
        assert not keys["PS256"].public.verify(private.sign(DATA, scheme, hashes.SHA256()), DATA)


class TestTable:
    """What is in the table, and what can never be."""

    def test_names(self) -> None:
        """No HMAC, no "none", no encryption; each row under its own name, and nobody adds one."""
        assert set(NAMES) == {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)} | {
            "EdDSA",
            "Ed25519",
        }
        assert all(row.name == name for name, row in ALGORITHMS.items())
        with pytest.raises(TypeError):
            ALGORITHMS["none"] = ALGORITHMS["RS256"]  # type: ignore[index]

    @pytest.mark.parametrize("name", ["none", "None", "HS256", "rs256", "RS256 ", "", "ES256K", "RSA-OAEP"])
    def test_names_are_exact(self, name: str) -> None:
        """Unknown names and other spellings are an error."""
        with pytest.raises(ValueError, match="unknown algorithm"):
            algorithm(name)

    @pytest.mark.parametrize(
        ("key_type", "curve", "name"),
        [
            ("RSA", None, "RS256"),
            ("EC", "P-256", "ES256"),
            ("EC", "P-384", "ES384"),
            ("EC", "P-521", "ES512"),
            ("OKP", "Ed25519", "EdDSA"),
        ],
    )
    def test_defaults(self, key_type: str, curve: str | None, name: str) -> None:
        """A key without a named algorithm gets the one that verifiers in the field know."""
        assert default_algorithm(key_type, curve).name == name

    @pytest.mark.parametrize(
        ("key_type", "curve"), [("oct", None), ("OKP", "X25519"), ("EC", "secp256k1"), ("RSA", "P-256")]
    )
    def test_no_default(self, key_type: str, curve: str | None) -> None:
        """Other types of keys sign nothing."""
        with pytest.raises(ValueError, match="no signature algorithm"):
            default_algorithm(key_type, curve)

    @pytest.mark.parametrize("name", ["PS384", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"])
    def test_generated_keys_fit(self, name: str) -> None:
        """A row makes keys of its own type; RSA keys are larger than the least that is accepted."""
        private = ALGORITHMS[name].generate()
        assert Key(private, name).algorithm == name
        if isinstance(private, rsa.RSAPrivateKey):
            assert private.key_size == RSA_DEFAULT_BITS
        if isinstance(private, ec.EllipticCurvePrivateKey):
            assert private.curve.key_size == {"P-256": 256, "P-384": 384, "P-521": 521}[ALGORITHMS[name].curve or ""]
