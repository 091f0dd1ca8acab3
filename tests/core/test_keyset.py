"""Key sets: whom a verifier trusts, by name."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from watchword import Key, KeySet, PublicKey
from watchword.core.jwk import PRIVATE_MEMBERS
from watchword.errors import KeyWithdrawn, UnknownKey

JWK = dict[str, object]


@pytest.fixture
def one(keys: Mapping[str, Key]) -> JWK:
    """One good member."""
    return dict(keys["ES256"].public.to_jwk())


@pytest.fixture
def other(keys: Mapping[str, Key]) -> JWK:
    """Another good member."""
    return dict(keys["Ed25519"].public.to_jwk())


class TestFind:
    """A ``kid`` is an opaque text, matched exactly."""

    def test_exact(self, keys: Mapping[str, Key]) -> None:
        """Its own name and no other."""
        trusted = KeySet(key.public for key in keys.values())
        assert len(trusted) == len(list(trusted)) == len(keys)
        for name, key in keys.items():
            assert trusted.find(f"test-{name}") is key.public
        for kid in ("", "test-ES256 ", "TEST-ES256", "test-ES25", "../test-ES256", "test-ES256' or '1'='1"):
            with pytest.raises(UnknownKey):
                trusted.find(kid)

    def test_withdrawn(self, keys: Mapping[str, Key]) -> None:
        """A withdrawn name is told apart from an unknown one."""
        trusted = KeySet([keys["ES256"].public], withdrawn=["old"])
        with pytest.raises(KeyWithdrawn):
            trusted.find("old")
        with pytest.raises(UnknownKey):
            trusted.find("older")

    def test_a_withdrawn_key_is_not_trusted(self, keys: Mapping[str, Key]) -> None:
        """The same name cannot be both."""
        with pytest.raises(ValueError, match="withdrawn"):
            KeySet([keys["ES256"].public], withdrawn=["test-ES256"])

    def test_names_are_unique(self, keys: Mapping[str, Key]) -> None:
        """Two keys of one name would let the order decide."""
        twin = PublicKey.from_jwk(keys["Ed25519"].public.to_jwk() | {"kid": "test-ES256"})
        with pytest.raises(ValueError, match="two keys"):
            KeySet([keys["ES256"].public, twin])

    def test_empty(self) -> None:
        """An empty set knows nobody."""
        assert len(KeySet()) == 0
        with pytest.raises(UnknownKey):
            KeySet().find("")

    def test_repr(self, keys: Mapping[str, Key]) -> None:
        """Names only."""
        assert repr(KeySet([keys["ES256"].public])) == "KeySet(['test-ES256'])"


class TestFromJwks:
    """RFC 7517 section 5, from an object or from its text."""

    def test_round_trip(self, keys: Mapping[str, Key]) -> None:
        """Written and read again, as object, text and bytes."""
        document = KeySet(key.public for key in keys.values()).to_jwks()
        for form in (document, json.dumps(document), json.dumps(document).encode()):
            assert KeySet.from_jwks(form).to_jwks() == document

    @pytest.mark.parametrize(
        "unfit",
        [
            {"kty": "AKP", "kid": "new", "pub": "AQ"},
            {"kty": "OKP", "crv": "X25519", "x": "AQ"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kid": "nothing"},
            {"kty": 5},
            {},
        ],
    )
    def test_an_unfit_member_spoils_nothing(self, one: JWK, unfit: JWK) -> None:
        """What cannot verify here is passed over (RFC 7517 section 5), and the rest serves."""
        assert list(KeySet.from_jwks({"keys": [unfit, one, unfit | {"kid": "again"}]}).to_jwks()["keys"]) == [one]

    def test_other_use_is_passed_over(self, one: JWK, other: JWK) -> None:
        """An encryption key beside a signature key is common."""
        assert len(KeySet.from_jwks({"keys": [one, other | {"use": "enc"}]})) == 1

    @pytest.mark.parametrize("member", sorted(PRIVATE_MEMBERS | {"k"}))
    def test_secrets_spoil_all(self, one: JWK, other: JWK, member: str) -> None:
        """A published secret is a mistake that nothing may be built on."""
        with pytest.raises(ValueError, match="private or symmetric"):
            KeySet.from_jwks({"keys": [one, other | {member: "AQ"}]})

    def test_symmetric_spoils_all(self, one: JWK) -> None:
        """So is a symmetric key, even one that shows nothing."""
        for oct_key in ({"kty": "oct", "k": "AQ"}, {"kty": "oct"}):
            with pytest.raises(ValueError, match="private or symmetric"):
                KeySet.from_jwks({"keys": [one, oct_key]})

    def test_repeated_kid(self, one: JWK, other: JWK) -> None:
        """Repeated names are refused, also where one of the two is of no use."""
        for twin in (other, one, {"kty": "AKP"}):
            with pytest.raises(ValueError, match="kid"):
                KeySet.from_jwks({"keys": [one, twin | {"kid": one["kid"]}]})

    def test_repeated_thumbprint(self, one: JWK) -> None:
        """One key twice without a name has one name twice."""
        del one["kid"]
        with pytest.raises(ValueError, match="two keys"):
            KeySet.from_jwks({"keys": [one, dict(one)]})

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"keys": None},
            {"keys": {}},
            {"keys": "x"},
            {"keys": [[]]},
            {"keys": [None]},
            [],
            None,
            5,
            bytearray(b"{}"),
        ],
    )
    def test_no_set(self, document: Any) -> None:
        """A set is an object, and ``keys`` is a list of objects."""
        with pytest.raises(ValueError, match="no JWK Set"):
            KeySet.from_jwks(document)

    @pytest.mark.parametrize("keys_member", [[], [{"kty": "AKP"}]])
    def test_nothing_usable(self, keys_member: list[JWK]) -> None:
        """A set that can verify nothing is refused, not kept empty."""
        with pytest.raises(ValueError, match="no key in the set"):
            KeySet.from_jwks({"keys": keys_member})

    @pytest.mark.parametrize(
        "text", ["", "[]", "\ud800", b"\xff", b"\xef\xbb\xbf{}", '{"keys":[],"keys":[]}', "[" * 99]
    )
    def test_text_is_strict_json(self, text: str | bytes) -> None:
        """The text of a set is read as strictly as a token."""
        with pytest.raises(ValueError, match=r"\w"):
            KeySet.from_jwks(text)
