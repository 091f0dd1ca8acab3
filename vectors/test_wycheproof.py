"""Wycheproof's JSON Web Signatures, Keys and both combined: known attacks, and what must go on working."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from vectors.data import load
from vectors.jws import stands

from watchword import Key, KeySet, PublicKey, Refused, Verifier
from watchword.core.secret import SecretKey, SecretKeySet

Case = tuple[Mapping[str, Any], Mapping[str, Any]]


def cases(name: str) -> list[Case]:
    """The tests of a file, each with the group whose key it is about; JWE is not spoken here."""
    groups = [group for group in load(f"wycheproof/{name}_test.json")["testGroups"] if "jwe" not in group["comment"]]
    return [(group, test) for group in groups for test in group["tests"]]


def numbered(case: object) -> str:
    """A case as pytest names it."""
    return str(case["tcId"]) if isinstance(case, dict) and "tcId" in case else ""


SIGNATURES, KEYS, COMBINED = (cases(f"json_web_{name}") for name in ("signature", "key", "crypto"))
STRICTER = {
    346: "the key is for PS256, the header says PS384",
    350: "the key is for PS256, the header says PS384",
    347: "the key names an algorithm that does not exist",
    351: "the key names an algorithm that does not exist",
    372: "a character outside the base64url alphabet, in the header",
    373: "a character outside the base64url alphabet, in the payload",
}
"""Valid by the file; refused here, and why."""
CONTRADICTED = {367: 357, 370: 357}
"""Invalid by the file, and the same bytes under the same key as a valid case: their padding got lost on its way there
(C2SP/wycheproof issue 236). One token has one answer; with the padding put back it is the one that was meant."""
EMPTY = (259, 264, 268, 272, 320, 325)
"""Signatures over nothing: good as signatures, and no tokens."""


def wanted(test: Mapping[str, Any]) -> bool:
    """Whether a signature must stand."""
    return (test["result"] == "valid" or test["tcId"] in CONTRADICTED) and test["tcId"] not in STRICTER


def public_keys(document: Mapping[str, Any]) -> KeySet:
    """A JWK Set or a JWK as whoever trusts public keys reads it."""
    return KeySet.from_jwks(document) if "keys" in document else KeySet([PublicKey.from_jwk(document)])


def secrets(document: Mapping[str, Any]) -> SecretKeySet:
    """The same as whoever shares secrets reads it."""
    return SecretKeySet.from_jwks(document) if "keys" in document else SecretKeySet([SecretKey.from_jwk(document)])


def verifying(group: Mapping[str, Any]) -> Iterator[KeySet | SecretKeySet]:
    """The sets that can be made of a group's key, by each reader there is: at most one takes it."""
    for reader in (public_keys, secrets):
        try:
            yield reader(group.get("public") or group["private"])
        except ValueError:
            continue


def accepted(case: Case) -> bool:
    """Whether the signature stands under the group's key, or one of its keys."""
    group, test = case
    readings = list(verifying(group))
    assert len(readings) <= 1
    token = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    return any(stands(token.encode(), keys) for keys in readings)


def test_all_are_there() -> None:
    """A shortened file proves nothing: 395 signatures and the six that are read more strictly, 26 keys, 49 of both."""
    assert (len(SIGNATURES), len(KEYS), len(COMBINED)) == (395 + len(STRICTER), 26, 49)
    assert {test["tcId"] for _, test in SIGNATURES} >= STRICTER.keys() | CONTRADICTED.keys() | set(EMPTY)


@pytest.mark.parametrize("case", SIGNATURES, ids=lambda case: numbered(case[1]))
def test_signature(case: Case) -> None:
    """A signature stands where the file calls it valid, but for the six that are read more strictly here."""
    assert accepted(case) is wanted(case[1])


@pytest.mark.parametrize(("number", "twin"), CONTRADICTED.items())
def test_the_file_contradicts_itself(number: int, twin: int) -> None:
    """Two cases called invalid are a third that is called valid; padded, as they were meant, they are refused."""
    by_number = {test["tcId"]: (group, test) for group, test in SIGNATURES}
    (group, test), (same_group, same) = by_number[number], by_number[twin]
    assert (group, test["jws"], same["result"], test["result"]) == (same_group, same["jws"], "valid", "invalid")
    for token in (test["jws"] + "=", test["jws"].replace("VGVzdA", "VGVzdA==")):
        assert not accepted((group, {"jws": token}))


@pytest.mark.parametrize("case", KEYS, ids=lambda case: numbered(case[1]))
def test_key(case: Case) -> None:
    """Weak, mixed, repeated and unfit keys verify nothing."""
    assert accepted(case) is wanted(case[1])


@pytest.mark.parametrize("case", COMBINED, ids=lambda case: numbered(case[1]))
def test_combined(case: Case) -> None:
    """Keys and signatures together."""
    assert accepted(case) is wanted(case[1])


@pytest.mark.parametrize(
    "case", [case for case in SIGNATURES if case[1]["tcId"] in EMPTY], ids=lambda c: numbered(c[1])
)
def test_an_empty_payload_is_no_token(case: Case) -> None:
    """Its signature stands; a verifier of tokens calls it malformed."""
    (keys,) = verifying(case[0])
    assert isinstance(keys, KeySet)
    with pytest.raises(Refused) as refused:
        Verifier("https://auth.example", "orders", keys).verify(case[1]["jws"])
    assert refused.value.code == "token_malformed"


@pytest.mark.parametrize("case", [KEYS[0], COMBINED[46]], ids=["key", "combined"])
def test_mixed_sets(case: Case) -> None:
    """Secrets beside public keys: neither kind of set takes them."""
    document = case[0]["private"]
    assert {member["kty"] for member in document["keys"]} == {"oct", "EC"}
    assert list(verifying(case[0])) == []


def test_private_keys() -> None:
    """The private keys of the signatures' groups are the public ones' and sign what these verify."""
    for group in {id(group): group for group, _ in SIGNATURES if "public" in group}.values():
        try:
            public = PublicKey.from_jwk(group["public"])
            key = Key.from_jwk(group["private"])
        except ValueError:
            continue
        assert key.public.thumbprint == public.thumbprint
        assert public.verify(key.sign(b"data"), b"data")
