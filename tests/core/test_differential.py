"""Held against other libraries: whatever is accepted here, PyJWT and joserfc accept too, and read the same in it."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from watchword import Key, KeySet, Refused, Verifier
from watchword.core.compact import MAX_TOKEN_BYTES
from watchword.core.encoding import b64url_encode, json_encode

NOW: Final = int(time.time())
ISSUER, AUDIENCE = "https://auth.example", "orders"
pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # EdDSA has a newer name
NAMES = ("RS256", "PS384", "ES256", "ES512", "EdDSA")
GOOD: Final[Mapping[str, object]] = {
    "iss": ISSUER,
    "sub": "u-1",
    "aud": AUDIENCE,
    "client_id": "web",
    "iat": NOW - 60,
    "exp": NOW + 600,
    "jti": "t-1",
}

JSON: st.SearchStrategy[object] = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = JSON | st.lists(JSON, max_size=2) | st.dictionaries(st.text(max_size=3), JSON, max_size=2)
MOMENTS = st.sampled_from([NOW, NOW - 1.5, NOW + 100, NOW + 10**6, -1, 0, 1e300, 2**64, str(NOW), True])
TELLING = st.sampled_from([ISSUER, AUDIENCE, [AUDIENCE], [AUDIENCE, 5], ["x", AUDIENCE], [], "", ["editor"], "\x00"])
TELLING |= st.sampled_from([{"jkt": "x"}, "e.1", "read write", "none", "HS256", "\ud800", "AT+JWT", "JWT"])
CLAIMS = st.sampled_from([*GOOD, "nbf", "roles", "scope", "sid", "wwd_pos", "cnf", "data", "x"])
HEADER = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip", "enc", "p2c", "x"])
ODD = st.sampled_from([b"", b" ", b"\n", b"\xef\xbb\xbf", b"\xff", b"\x00", b",", b"}", b'"', b"-", b"//", b"{" * 40])
ODD |= st.sampled_from([b"null", b"{}", b"[]", b"NaN", b"1e999", b"\\ud800", b'{"alg":"none",', b'{"exp":99999999999,'])
ODD |= st.sampled_from([b'{"sub":"root",', b',"sub":"root"}', b'"sub"', b'"\\u0073ub"', b"1.", b"01", b"+1", b"0x1"])
PIECE = st.sampled_from([b"", b"=", b"==", b".", b" ", b"\n", b"A", b"_", b"+", b"/", b"%3D", "ä".encode(), b"\x00"])


@pytest.fixture(scope="module")
def verifier(keys: Mapping[str, Key]) -> Verifier:
    """Trusts all keys; its clock stands a moment behind the others', so that no second passes between the answers."""
    return Verifier(ISSUER, AUDIENCE, KeySet(key.public for key in keys.values()), clock=lambda: NOW)


@st.composite
def members(draw: st.DrawFn, good: Mapping[str, object], names: st.SearchStrategy[str]) -> bytes:
    """A JSON object: good members, some of them changed, gone or new, in some spelling, and perhaps with a scar."""
    changed = dict(good) | draw(st.dictionaries(names, MOMENTS | TELLING | JSON, max_size=2))
    changed.pop(draw(st.sampled_from(["", "", *good])), None)
    indent = draw(st.sampled_from([None, 2]))
    try:
        text = json.dumps(changed, ensure_ascii=draw(st.booleans()), indent=indent).encode()
    except UnicodeEncodeError:
        text = json.dumps(changed, indent=indent).encode()
    return draw(st.sampled_from([text, text]) | scarred(text, ODD))


@st.composite
def scarred(draw: st.DrawFn, text: bytes, pieces: st.SearchStrategy[bytes]) -> bytes:
    """A text with a piece of it replaced by another."""
    start = draw(st.integers(0, len(text)) | st.sampled_from([0, len(text)]))
    return text[:start] + draw(pieces) + text[start + draw(st.integers(0, 3)) :]


@st.composite
def tokens(draw: st.DrawFn, keys: Mapping[str, Key]) -> tuple[bytes, Key]:
    """A signed token that is right, or wrong before it was signed, or changed after; and the key that it is under."""
    key = keys[draw(st.sampled_from(NAMES))]
    place = draw(st.sampled_from(["header", "payload", "payload", "payload", "signer", "segments"]))
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
    parts = [
        draw(members(header, HEADER)) if place == "header" else json_encode(header),
        draw(members(GOOD, CLAIMS)) if place == "payload" else json_encode(dict(GOOD)),
    ]
    segments = [b64url_encode(part).encode() for part in parts]
    signer = keys[draw(st.sampled_from(NAMES))] if place == "signer" else key
    segments.append(b64url_encode(signer.sign(b".".join(segments))).encode())
    if place == "segments":
        index = draw(st.integers(0, 2))
        segments[index] = draw(scarred(segments[index], PIECE))
    return b".".join(segments), key


def pyjwt(token: bytes, key: Key) -> object:
    """The claims by PyJWT, which raises for what it refuses."""
    return jwt.decode(
        token,
        key.public._key,
        algorithms=[key.algorithm],
        issuer=ISSUER,
        audience=AUDIENCE,
        leeway=60 + time.time() - NOW,  # the others have no clock to set: the run may be long
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )


def joserfc(token: bytes, key: Key) -> object:
    """The claims by joserfc, which raises for what it refuses."""
    lenient = JWSRegistry(algorithms=[key.algorithm], strict_check_header=False)  # RFC 7515 section 4
    lenient.max_header_length = MAX_TOKEN_BYTES
    decoded = joserfc_jwt.decode(token, joserfc_jwk.import_key(dict(key.public.to_jwk())), registry=lenient)
    needed: dict[str, Any] = {name: {"essential": True} for name in ("exp", "iat", "sub")}
    needed |= {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}
    JWTClaimsRegistry(leeway=60 + int(time.time() - NOW), **needed).validate(decoded.claims)
    return decoded.claims


@pytest.mark.parametrize("name", NAMES)
def test_all_accept_a_good_token(keys: Mapping[str, Key], verifier: Verifier, name: str) -> None:
    """Otherwise the rest would say nothing."""
    header = {"alg": name, "kid": keys[name].kid, "typ": "at+jwt"}
    signed = ".".join(b64url_encode(json.dumps(part).encode()) for part in (header, dict(GOOD)))
    token = f"{signed}.{b64url_encode(keys[name].sign(signed.encode()))}".encode()
    assert verifier.verify(token).claims == pyjwt(token, keys[name]) == joserfc(token, keys[name]) == GOOD


@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_accepted_here_is_accepted_elsewhere(
    keys: Mapping[str, Key], verifier: Verifier, data: st.DataObject
) -> None:
    """And means the same there, whatever was done to header, payload and signature, before signing or after."""
    token, key = data.draw(tokens(keys))
    try:
        caller = verifier.verify(token)
    except Refused as why:
        event(why.code)
        return
    event("accepted")
    assert caller.claims == pyjwt(token, key) == joserfc(token, key)
