"""Ed25519 at its edges: which of the signatures that verifiers disagree about stand here (decision 014)."""

from collections.abc import Mapping
from typing import Any

import pytest
from vectors.data import load

from watchword import PublicKey
from watchword.core.encoding import b64url_encode

REFUSED = {
    "low_order_A": "anybody can sign for a key of small order",
    "non_canonical_A": "a key has one spelling",
    "non_canonical_R": "a signature has one spelling",
    "low_order_residue": "the equation holds only once it is multiplied by the cofactor",
    "reencoded_k": "the hash was taken of another spelling than the one that was sent",
}
"""The properties of which one is enough to refuse."""
HARMLESS = {"low_order_R", "low_order_component_R", "low_order_component_A"}
"""Those that only the holder of the private key can bring about, and that give nobody else anything."""
POINTS: list[dict[str, Any]] = load("ed25519/cctv-ed25519vectors.json")
CASES: list[dict[str, Any]] = load("ed25519/speccheck-cases.json")
SPECCHECK = (False, False, True, True, False, False, False, False, False, False, False, False)
"""What `CASES` must come to, in their order; 2 and 3 have small-order components and one reading."""


def verifies(key: str, signature: str, message: bytes) -> bool:
    """Whether the signature stands; a key that is unfit verifies nothing."""
    try:
        public = PublicKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(bytes.fromhex(key))})
    except ValueError:
        return False
    return public.verify(bytes.fromhex(signature), message)


def test_all_are_there() -> None:
    """914 points and 12 cases, and no property that the rule does not speak of."""
    assert (len(POINTS), len(CASES)) == (914, 12)
    assert {flag for point in POINTS for flag in point["flags"] or ()} == REFUSED.keys() | HARMLESS


@pytest.mark.parametrize("point", POINTS, ids=lambda point: str(point["number"]))
def test_points(point: Mapping[str, Any]) -> None:
    """A signature stands unless it has one of the properties to refuse."""
    wanted = REFUSED.keys().isdisjoint(point["flags"] or ())
    assert verifies(point["key"], point["sig"], point["msg"].encode()) is wanted


@pytest.mark.parametrize(("case", "wanted"), [*zip(CASES, SPECCHECK, strict=True)], ids=[*map(str, range(len(CASES)))])
def test_speccheck(case: Mapping[str, str], wanted: bool) -> None:
    """Small-order keys, S of L or more, spellings that are not canonical and cofactors are refused."""
    assert verifies(case["pub_key"], case["signature"], bytes.fromhex(case["message"])) is wanted
