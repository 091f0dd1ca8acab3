"""RFC 7520, RFC 8037 and RFC 7797 as JSON: what is deterministic comes out byte for byte, and all of it verifies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from vectors.data import files, load
from vectors.jws import stands

from watchword import Key, KeySet, PublicKey, Refused, Verifier
from watchword.core.algorithms import ALGORITHMS
from watchword.core.encoding import b64url_decode, b64url_encode, json_encode
from watchword.core.jwk import PRIVATE_MEMBERS
from watchword.core.secret import SecretKey, SecretKeySet

JWS = [*files("cookbook/jws_*.json"), *files("cookbook/curve25519_jws.json")]
UNENCODED = files("cookbook/rfc7797*.json")
JWK = files("cookbook/jwk_*.json")
DETERMINISTIC = frozenset({"RS256", "EdDSA"})  # of the algorithms that the cookbook signs with and this project too


def named(path: object) -> str:
    """A file as pytest names it."""
    return path.stem if isinstance(path, Path) else ""


def listed(value: Any) -> list[Any]:
    """The files write one value where there is one, and a list where there are several."""
    return value if isinstance(value, list) else [value]


def signatures(path: Path) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The keys of a file, with ``alg`` and ``kid``, and what was signed with each."""
    example = load(f"cookbook/{path.name}")
    given = example["input"]
    keys = [
        {"kid": "cookbook"} | key | {"alg": name}
        for key, name in zip(listed(given["key"]), listed(given["alg"]), strict=True)
    ]
    return list(zip(keys, listed(example["signing"]), strict=True))


def public_part(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """A private JWK without what makes it so."""
    return {name: value for name, value in jwk.items() if name not in PRIVATE_MEMBERS}


def verifying(jwk: Mapping[str, Any]) -> PublicKey | SecretKey:
    """What verifies, of a private or symmetric JWK."""
    return SecretKey.from_jwk(jwk) if jwk["kty"] == "oct" else PublicKey.from_jwk(public_part(jwk))


def test_all_are_there() -> None:
    """8 JWS of RFC 7520 and one of RFC 8037, two of RFC 7797, 6 keys."""
    assert (len(JWS), len(UNENCODED), len(JWK)) == (9, 2, 6)


@pytest.mark.parametrize("path", JWS, ids=named)
def test_signatures_verify(path: Path) -> None:
    """Each signature, by the key and the algorithm that its file names; with one bit changed it does not."""
    for jwk, signing in signatures(path):
        key = verifying(jwk)
        signature, data = b64url_decode(signing["sig"].encode()), signing["sig-input"].encode()
        assert key.verify(signature, data)
        assert not key.verify(bytes([signature[0] ^ 1]) + signature[1:], data)
        assert not key.verify(signature, data + b".")


@pytest.mark.parametrize("path", JWS, ids=named)
def test_signing_is_byte_for_byte(path: Path) -> None:
    """RSA PKCS 1 and Ed25519 signatures, and headers where they are as ours, come out as the RFCs print them.

    A MAC is verified by making it, so that the test above says the same of HMAC.
    """
    for jwk, signing in signatures(path):
        if jwk["alg"] in DETERMINISTIC:
            assert b64url_encode(Key.from_jwk(jwk).sign(signing["sig-input"].encode())) == signing["sig"]
        if "protected_b64u" in signing:
            assert b64url_encode(json_encode(signing["protected"])) == signing["protected_b64u"]


@pytest.mark.parametrize("path", JWS, ids=named)
def test_compact_forms(path: Path) -> None:
    """What has a compact form stands as it is; a detached payload and a header without kid do not."""
    example = load(f"cookbook/{path.name}")
    if "compact" not in example["output"]:
        assert "unprotected" in str(example["signing"])
        return
    ((jwk, signing),) = signatures(path)
    token, key = example["output"]["compact"].encode(), verifying(jwk)
    keys = KeySet([key]) if isinstance(key, PublicKey) else SecretKeySet([key])
    as_it_is = b".." not in token and "kid" in signing["protected"]
    assert stands(token, keys) is as_it_is


@pytest.mark.parametrize("path", UNENCODED, ids=named)
def test_unencoded_payloads_are_refused(path: Path) -> None:
    """RFC 7797's b64 is refused as a form, under the file's own key and under one of ours."""
    example = load(f"cookbook/{path.name}")
    flat, secret = example["output"]["json_flat"], SecretKey.from_jwk(example["input"]["key"] | {"kid": "cookbook"})
    assert not stands(f"{flat['protected']}.{flat['payload']}.{flat['signature']}".encode(), SecretKeySet([secret]))

    key = Key.generate("ES256")
    header = example["signing"]["protected"] | {"alg": "ES256", "kid": key.kid}
    signed = f"{b64url_encode(json_encode(header))}.{b64url_encode(flat['payload'].encode())}"
    token = f"{signed}.{b64url_encode(key.sign(signed.encode()))}"
    with pytest.raises(Refused) as refused:
        Verifier("https://auth.example", "orders", key.public).verify(token)
    assert refused.value.code == "token_malformed"


@pytest.mark.parametrize("path", JWK, ids=named)
def test_keys_are_read_and_written(path: Path) -> None:
    """A JWK comes back member for member; a private one is not taken for a public one; one to encrypt with is none."""
    jwk = load(f"cookbook/{path.name}")
    if jwk["kty"] == "oct":
        if jwk["use"] == "enc":
            with pytest.raises(ValueError, match=r"alg|use|algorithm|HS256"):
                SecretKey.from_jwk(jwk)
        else:
            assert SecretKey.from_jwk(jwk).kid == jwk["kid"]
        return
    assert PublicKey.from_jwk(public_part(jwk)).to_jwk().items() >= public_part(jwk).items()
    if "d" in jwk:
        assert Key.from_jwk(jwk).to_jwk().items() >= jwk.items()
        with pytest.raises(ValueError, match="private key"):
            PublicKey.from_jwk(jwk)


def test_no_secret_is_public() -> None:
    """The algorithms of the cookbook's MACs are on no list that a public key can be on."""
    assert not {name for name in ALGORITHMS if name.startswith("HS")}
