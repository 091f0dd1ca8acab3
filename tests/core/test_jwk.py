"""JSON Web Keys: what is read is checked, and what is written is read again."""

from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from watchword import Key
from watchword.core.algorithms import ALGORITHMS
from watchword.core.encoding import b64url_decode, b64url_encode
from watchword.core.jwk import (
    PRIVATE_MEMBERS,
    checked_algorithm,
    private_from_jwk,
    private_to_jwk,
    public_from_jwk,
    public_to_jwk,
    thumbprint,
)

JWK = dict[str, object]
P25519 = 2**255 - 19
# The points of order 1, 2, 4, 4, 8, 8, 8, 8 (RFC 7748 section 7 speaks of them, for the other form of the curve).
ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER = [
    1,
    P25519 - 1,
    0,
    0 | 1 << 255,
    ORDER_8,
    ORDER_8 | 1 << 255,
    P25519 - ORDER_8,
    P25519 - ORDER_8 | 1 << 255,
]
# RFC 8037 appendix A.
RFC8037 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
# RFC 7638 section 3.1.
RFC7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
    "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
    "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
ODD_2048 = 2**2047 + 2**1024 + 1


def uint(value: int) -> str:
    """The shortest base64url of a number."""
    return b64url_encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def okp(encoded: int) -> JWK:
    """An Ed25519 JWK of a point as its little-endian number, the sign of x on top."""
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(encoded.to_bytes(32, "little"))}


@pytest.fixture(scope="module", params=sorted({row.name for row in ALGORITHMS.values()}))
def private(request: pytest.FixtureRequest, keys: Mapping[str, Key]) -> JWK:
    """The private JWK of one key for each algorithm."""
    return dict(keys[request.param].to_jwk())


@pytest.fixture
def public(private: JWK) -> JWK:
    """The same without its secrets."""
    return {name: value for name, value in private.items() if name not in PRIVATE_MEMBERS}


@pytest.fixture(scope="module")
def rsa_public(keys: Mapping[str, Key]) -> JWK:
    """One public RSA key."""
    return dict(keys["RS256"].public.to_jwk())


@pytest.fixture(scope="module")
def ec_public(keys: Mapping[str, Key]) -> JWK:
    """One public EC key."""
    return dict(keys["ES256"].public.to_jwk())


class TestRoundTrip:
    """Members in, key out, and back."""

    def test_public(self, public: JWK) -> None:
        """A public key is written as it was read."""
        row, key = public_from_jwk(public)
        assert row.name == public["alg"]
        assert public_to_jwk(key).items() <= public.items()

    def test_a_public_key_with_a_secret(self, public: JWK) -> None:
        """A member ``k`` belongs to symmetric keys, and makes any other suspect."""
        with pytest.raises(ValueError, match="private"):
            public_from_jwk(public | {"k": "AAAA"})
        with pytest.raises(ValueError, match="an object"):
            public_from_jwk([public])  # type: ignore[arg-type]

    def test_private(self, private: JWK) -> None:
        """A private key too, with its secrets."""
        row, key = private_from_jwk(private)
        assert row.name == private["alg"]
        assert private_to_jwk(key) | {m: private[m] for m in ("kid", "alg", "use")} == private

    def test_rfc_8037(self) -> None:
        """The key of RFC 8037 appendix A has the thumbprint of A.3."""
        _, key = private_from_jwk(RFC8037)
        assert private_to_jwk(key) == RFC8037
        assert thumbprint(key.public_key()) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

    def test_rfc_7638(self) -> None:
        """The key of RFC 7638 section 3.1 has the thumbprint given there."""
        assert thumbprint(public_from_jwk(RFC7638)[1]) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

    def test_coordinates_are_padded(self) -> None:
        """A coordinate that begins with a zero byte keeps its full length (RFC 7518 section 6.2.1.2)."""
        key = next(
            key
            for scalar in range(1, 5000)
            if (key := ec.derive_private_key(scalar, ec.SECP256R1())).public_key().public_numbers().x < 2**248
        )
        jwk = private_to_jwk(key)
        assert {len(b64url_decode(jwk[name].encode())) for name in ("x", "y", "d")} == {32}
        assert private_to_jwk(private_from_jwk(jwk)[1]) == jwk


class TestPurpose:
    """``use``, ``key_ops`` and ``alg`` are respected; all may be missing."""

    @pytest.mark.parametrize("members", [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]}])
    def test_allowed(self, rsa_public: JWK, members: JWK) -> None:
        """For signatures, or nothing said."""
        bare = {name: rsa_public[name] for name in ("kty", "n", "e")}
        assert public_from_jwk(bare | members)[0].name == "RS256"

    @pytest.mark.parametrize(
        "members",
        [
            {"use": "enc"},
            {"use": None},
            {"use": ["sig"]},
            {"use": "SIG"},
            {"key_ops": []},
            {"key_ops": ["sign"]},
            {"key_ops": "verify"},
            {"key_ops": None},
            {"key_ops": [["verify"]]},
            {"key_ops": ["verify", "verify"]},
            {"use": "sig", "key_ops": ["encrypt"]},
            {"alg": "HS256"},
            {"alg": "none"},
            {"alg": "ES256"},
            {"alg": "RSA-OAEP"},
            {"alg": "rs256"},
            {"alg": None},
            {"alg": 5},
            {"alg": ["RS256"]},
        ],
    )
    def test_refused(self, rsa_public: JWK, members: JWK) -> None:
        """For another purpose, for another type of key, or not of the right type."""
        with pytest.raises(ValueError, match=r"use|key_ops|alg"):
            public_from_jwk(rsa_public | members)

    def test_algorithm_belongs_to_the_curve(self, ec_public: JWK) -> None:
        """A P-256 key signs ES256 and nothing else (RFC 7518 section 3.4)."""
        for name in ALGORITHMS.keys() - {"ES256"}:
            with pytest.raises(ValueError, match="does not fit"):
                public_from_jwk(ec_public | {"alg": name})

    def test_private_needs_sign(self, keys: Mapping[str, Key]) -> None:
        """A private key whose operations lack ``sign`` signs nothing."""
        jwk: JWK = {**keys["ES256"].to_jwk(), "key_ops": ["verify"]}
        with pytest.raises(ValueError, match="key_ops"):
            private_from_jwk(jwk)


class TestPublicMembers:
    """What a public key may not hold, and what it must."""

    @pytest.mark.parametrize("member", sorted(PRIVATE_MEMBERS))
    def test_no_secrets(self, ec_public: JWK, member: str) -> None:
        """A private member makes a public key a mistake, whatever it holds."""
        with pytest.raises(ValueError, match="private key"):
            public_from_jwk(ec_public | {member: None})

    @pytest.mark.parametrize("kty", [None, "oct", "rsa", "AKP", "", 5, ["RSA"], {}])
    def test_type(self, rsa_public: JWK, kty: object) -> None:
        """Only exact names of known types."""
        with pytest.raises(ValueError, match="kty"):
            public_from_jwk(rsa_public | {"kty": kty})

    def test_missing_members(self, public: JWK) -> None:
        """Nothing that a key needs can be left out."""
        for name in {"n", "e", "x", "y", "crv"} & public.keys():
            with pytest.raises(ValueError, match=r"missing|curve"):
                public_from_jwk({member: value for member, value in public.items() if member != name})

    @pytest.mark.parametrize("bad", [None, 5, [], "", "é", "A A", "AQAB=", "AQ==", "A", "\ud800"])
    def test_ill_formed_members(self, public: JWK, bad: object) -> None:
        """Other types, padding, foreign characters and no data at all."""
        for name in {"n", "e", "x", "y"} & public.keys():
            with pytest.raises(ValueError, match=rf"member {name}"):
                public_from_jwk(public | {name: bad})

    def test_lengths(self, public: JWK) -> None:
        """Coordinates have their full length and numbers no leading zeros."""
        for name in {"n", "e", "x", "y"} & public.keys():
            longer = b64url_encode(b"\0" + b64url_decode(str(public[name]).encode()))
            with pytest.raises(ValueError, match=r"wrong length|leading zeros"):
                public_from_jwk(public | {name: longer})

    @given(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid"]),
            st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig"])
            | st.none()
            | st.integers()
            | st.text(),
        )
    )
    def test_any_members(self, jwk: JWK) -> None:
        """Whatever the members: a key, or ``ValueError`` with a short text."""
        text = ""
        try:
            public_from_jwk(jwk)
        except ValueError as why:
            text = str(why)
        assert len(text) < 200


class TestRsa:
    """2048 to 8192 bits, an odd modulus, an odd exponent from 65537 to 2^32."""

    @pytest.mark.parametrize("bits", [512, 1024, 2047, 8193, 16384])
    def test_size(self, bits: int) -> None:
        """Too small and too large."""
        with pytest.raises(ValueError, match="size"):
            public_from_jwk({"kty": "RSA", "n": uint(2 ** (bits - 1) + 1), "e": "AQAB"})

    @pytest.mark.parametrize("bits", [2048, 2049, 3072, 8192])
    def test_size_allowed(self, bits: int) -> None:
        """The ends are allowed."""
        _, key = public_from_jwk({"kty": "RSA", "n": uint(2 ** (bits - 1) + 5), "e": "AQAB"})
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == bits

    @pytest.mark.parametrize("exponent", [1, 2, 3, 17, 65535, 65536, 65538, 2**32, 2**32 + 1, 2**64 + 1])
    def test_exponent(self, exponent: int) -> None:
        """Small, even and large exponents."""
        with pytest.raises(ValueError, match="exponent"):
            public_from_jwk({"kty": "RSA", "n": uint(ODD_2048), "e": uint(exponent)})

    @pytest.mark.parametrize("exponent", [65537, 65539, 2**32 - 1])
    def test_exponent_allowed(self, exponent: int) -> None:
        """The usual one and larger odd ones."""
        assert public_from_jwk({"kty": "RSA", "n": uint(ODD_2048), "e": uint(exponent)})[0].name == "RS256"

    def test_even_modulus(self) -> None:
        """An even number is no product of two odd primes."""
        with pytest.raises(ValueError, match="even"):
            public_from_jwk({"kty": "RSA", "n": uint(2**2047 + 2), "e": "AQAB"})

    def test_rules_hold_without_a_jwk(self) -> None:
        """A key object from elsewhere is checked by the same rules."""
        for numbers in (
            rsa.RSAPublicNumbers(3, ODD_2048),
            rsa.RSAPublicNumbers(65537, 2**1023 + 1),
            rsa.RSAPublicNumbers(2**32 + 1, ODD_2048),
        ):
            with pytest.raises(ValueError, match="RSA"):
                checked_algorithm(numbers.public_key())

    def test_flawed_generator(self) -> None:
        """A modulus that is a power of 65537 modulo the small primes can be factored (CVE-2017-15361)."""
        primes = [n for n in range(2, 702) if all(n % d for d in range(2, n))]
        product = 1
        for prime in primes:
            product *= prime
        flawed = next(
            n for k in range(2**100) if (n := (2**2047 // product + k) * product + pow(65537, 11, product)) >> 2047 == 1
        )
        with pytest.raises(ValueError, match="CVE-2017-15361"):
            public_from_jwk({"kty": "RSA", "n": uint(flawed), "e": "AQAB"})
        assert public_from_jwk({"kty": "RSA", "n": uint(flawed + 2), "e": "AQAB"})[0].name == "RS256"


class TestCurves:
    """Points lie on their curve, and on none with a trap in it."""

    @pytest.mark.parametrize(("x", "y"), [(0, 0), (1, 1), (2**256 - 1, 1), (2**255, 2**255)])
    def test_off_curve(self, x: int, y: int) -> None:
        """Any pair of numbers is no point of P-256."""
        jwk = {"kty": "EC", "crv": "P-256"} | {
            name: b64url_encode(value.to_bytes(32, "big")) for name, value in (("x", x), ("y", y))
        }
        with pytest.raises(ValueError, match=r"(?i)point|key"):
            public_from_jwk(jwk)

    def test_mixed_up_coordinates(self, ec_public: JWK) -> None:
        """x and y exchanged are off the curve."""
        with pytest.raises(ValueError, match=r"(?i)point|key"):
            public_from_jwk(ec_public | {"x": ec_public["y"], "y": ec_public["x"]})

    @pytest.mark.parametrize("curve", ["P-384", "P-521", "P-192", "secp256k1", "p-256", "Ed25519", None, 5, ["P-256"]])
    def test_other_curve(self, ec_public: JWK, curve: object) -> None:
        """A point belongs to the curve that it was made for; unknown curves are refused."""
        with pytest.raises(ValueError, match=r"curve|length"):
            public_from_jwk(ec_public | {"crv": curve})

    @pytest.mark.parametrize("encoded", SMALL_ORDER)
    def test_small_order(self, encoded: int) -> None:
        """Under a point of small order anybody can sign: all eight are refused."""
        with pytest.raises(ValueError, match="small order"):
            public_from_jwk(okp(encoded))

    @pytest.mark.parametrize(
        "encoded", [P25519, P25519 + 1, 2**255 - 1, 1 | 1 << 255, P25519 - 1 | 1 << 255, P25519 | 1 << 255]
    )
    def test_other_spellings(self, encoded: int) -> None:
        """Points written with y beyond the field, or with the sign of a zero x."""
        with pytest.raises(ValueError, match="canonical"):
            public_from_jwk(okp(encoded))

    def test_half_of_all_y_are_no_points(self) -> None:
        """A y without an x is refused; those accepted are the ones that can be a key's."""
        for y in (2, 7, 8):
            with pytest.raises(ValueError, match="no point of the curve"):
                public_from_jwk(okp(y))
        for y in (3, 4, 5, 6):
            assert public_from_jwk(okp(y))[0].name == "EdDSA"

    def test_every_generated_key_is_accepted(self) -> None:
        """No honest key falls under these rules."""
        for _ in range(50):
            checked_algorithm(ed25519.Ed25519PrivateKey.generate().public_key())

    @pytest.mark.parametrize("curve", ["X25519", "Ed448", "ed25519", None])
    def test_other_edwards_curves(self, curve: object) -> None:
        """Ed25519 alone."""
        with pytest.raises(ValueError, match="curve"):
            public_from_jwk({"kty": "OKP", "crv": curve, "x": RFC8037["x"]})

    def test_foreign_objects(self) -> None:
        """Key objects that sign nothing, or on unknown curves."""
        with pytest.raises(ValueError, match="type"):
            checked_algorithm(x25519.X25519PrivateKey.generate().public_key())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="curve"):
            checked_algorithm(ec.generate_private_key(ec.SECP256K1()).public_key())


class TestPrivateMembers:
    """A private key belongs to its public one."""

    @pytest.mark.parametrize("name", ["ES256", "Ed25519"])
    def test_of_another_key(self, keys: Mapping[str, Key], name: str) -> None:
        """The secret of one key beside the point of another."""
        other = private_to_jwk(ALGORITHMS[name].generate())
        with pytest.raises(ValueError, match="do not belong"):
            private_from_jwk(keys[name].to_jwk() | {"d": other["d"]})

    @pytest.mark.parametrize("change", [{"d": "AQ"}, {"p": "Aw"}, {"dp": "Aw"}, {"qi": "Aw"}, {"oth": []}, {"p": None}])
    def test_rsa(self, keys: Mapping[str, Key], change: JWK) -> None:
        """Numbers that do not fit together, are missing, or speak of more primes."""
        with pytest.raises(ValueError, match=r"\w"):
            private_from_jwk({**keys["RS256"].to_jwk(), **change})

    @pytest.mark.parametrize(
        "scalar", [0, 2**256 - 1, 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551]
    )
    def test_ec_range(self, keys: Mapping[str, Key], scalar: int) -> None:
        """A scalar lies between 1 and the order."""
        with pytest.raises(ValueError, match=r"\w"):
            private_from_jwk(keys["ES256"].to_jwk() | {"d": b64url_encode(scalar.to_bytes(32, "big"))})

    def test_public_is_not_enough(self, ec_public: JWK) -> None:
        """Without ``d`` nothing signs."""
        with pytest.raises(ValueError, match="member d"):
            private_from_jwk(ec_public)
