"""The JWK Set of another issuer: what is bad in it spoils nothing else, and what gives secrets away spoils all."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from watchword import Key
from watchword.core.published import SecretPublished, read_published


def document(*members: Any) -> bytes:
    """A JWK Set."""
    return json.dumps({"keys": list(members)}).encode()


@pytest.fixture
def good(keys: Mapping[str, Key]) -> dict[str, str]:
    """A usable member."""
    return keys["ES256"].public.to_jwk()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "RSA",
        [],
        {},
        {"kty": "EC"},
        {"kty": "XYZ", "kid": "x"},
        {"kty": ["EC"]},
        {"kty": "RSA", "kid": "small", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AA", "y": "AA"},
        {"use": "enc"},
        {"alg": "ES512"},
        {"key_ops": ["encrypt"]},
        {"kid": 5},
        {"kid": ""},
    ],
)
def test_a_bad_member_is_passed_over(good: dict[str, str], keys: Mapping[str, Key], bad: Any) -> None:
    """Whatever one member is, the others serve on."""
    if isinstance(bad, dict) and "kty" not in bad:
        bad = keys["Ed25519"].public.to_jwk() | bad if bad else bad
    published = read_published(document(bad, good, bad))
    assert [key.kid for key in published.keys] == [good["kid"]]
    assert published.ambiguous == ()


@pytest.mark.parametrize("members", [(), ({"kty": "XYZ"},)])
def test_no_usable_key(members: tuple[Any, ...]) -> None:
    """An issuer that publishes none has withdrawn what it had."""
    assert len(read_published(document(*members)).keys) == 0


def test_two_keys_of_one_name(good: dict[str, str], keys: Mapping[str, Key]) -> None:
    """Neither is used, and the others are; which one is meant cannot be told."""
    twins = [keys[name].public.to_jwk() | {"kid": "twin"} for name in ("Ed25519", "ES384")]
    published = read_published(document(twins[0], good, twins[1]))
    assert [key.kid for key in published.keys] == [good["kid"]]
    assert published.ambiguous == ("twin",)


def test_one_key_for_two_algorithms(keys: Mapping[str, Key]) -> None:
    """Two algorithms are two keys, as a key has one only."""
    both = [keys[name].public.to_jwk() | {"kid": "rsa"} for name in ("RS256", "PS256")]
    assert read_published(document(*both)).ambiguous == ("rsa",)


def test_one_key_twice(good: dict[str, str], keys: Mapping[str, Key]) -> None:
    """The same key again says nothing new; nor does a key of that name that is for encryption."""
    other = keys["Ed25519"].public.to_jwk() | {"kid": good["kid"], "use": "enc"}
    published = read_published(document(good, good, other))
    assert ([key.kid for key in published.keys], published.ambiguous) == ([good["kid"]], ())


@pytest.mark.parametrize("name", ["RS256", "ES256", "Ed25519"])
def test_a_private_key(good: dict[str, str], keys: Mapping[str, Key], name: str) -> None:
    """Whoever publishes a private key has lost it: the whole set is refused, whatever the key is for."""
    for member in (keys[name].to_jwk(), keys[name].to_jwk() | {"use": "enc"}):
        with pytest.raises(SecretPublished):
            read_published(document(good, member))


@pytest.mark.parametrize("member", [{"kty": "oct"}, {"kty": "oct", "k": "c2VjcmV0"}, {"k": "c2VjcmV0"}])
def test_a_shared_secret(good: dict[str, str], member: Any) -> None:
    """As is a symmetric key."""
    with pytest.raises(SecretPublished):
        read_published(document(good, member))


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"{}", b'{"keys": {}}', b'{"keys": null}', b'{"keys": [], "keys": []}', b"<html>", b"[" * 99],
)
def test_no_set(text: bytes) -> None:
    """What is no JWK Set says nothing about any key."""
    with pytest.raises(ValueError, match="no JWK Set"):
        read_published(text)


def test_too_many(good: dict[str, str]) -> None:
    """Each member costs time: there is a limit, far above what issuers have."""
    assert len(read_published(document(*[good] * 256)).keys) == 1
    with pytest.raises(ValueError, match="256"):
        read_published(document(*[good] * 257))
