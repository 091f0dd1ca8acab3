"""Feed bytes to whatever reads bytes: out comes a value or one of our refusals, in a few words, and nothing else.

Run by ``make fuzz``; arguments are libFuzzer's, such as ``-max_total_time=600`` or the file of a finding.
"""

import base64
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["watchword", "json"]):
    from watchword import Caller, Data, Issuer, Key, KeySet, Position, Refused, Verifier
    from watchword.core.claims import AccessClaims, decode_claims, read_claims
    from watchword.core.compact import read_unverified, strict_object
    from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode, json_decode, json_encode, json_object
    from watchword.core.feed import Page
    from watchword.core.secret import SecretKeySet
    from watchword.guard.bearer import bearer_token

NOW = 1_700_000_000
LIMIT = 200
KEY = Key.generate("Ed25519")
ISSUER = Issuer("i", KEY, clock=lambda: NOW)
VERIFIER = Verifier("i", "a", KEY.public, clock=lambda: NOW)
HEADER = json_encode({"alg": KEY.algorithm, "kid": KEY.kid, "typ": "at+jwt"})
PAYLOAD = json_encode({"iss": "i", "sub": "s", "aud": "a", "iat": NOW, "exp": NOW + 9, "jti": "j", "client_id": "c"})
TOKEN = ISSUER.mint(subject="s", audience="a", client="c", roles=["r"], position=Position("e", 1)).encode()
BODY = b64url_decode(TOKEN.split(b".")[1])


def signed(header: bytes, payload: bytes) -> str:
    """A token of these two texts whose signature is good, so that what comes after it is reached."""
    text = f"{b64url_encode(header)}.{b64url_encode(payload)}"
    return f"{text}.{b64url_encode(KEY.sign(text.encode()))}"


def spliced(data: bytes) -> bytes:
    """A good token with some bytes of it replaced: the first two say where."""
    place = int.from_bytes(data[:2], "big") % len(TOKEN)
    return TOKEN[:place] + data[2:] + TOKEN[place + len(data[2:]) :]


def standard(data: bytes) -> bytes:
    """Base64url by the standard library, once our own decoder has taken it."""
    decoded = b64url_decode(data)
    assert decoded == base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
    assert b64url_encode(decoded).encode() == data
    return decoded


def object_by_both_ways(data: bytes) -> object:
    """The short way to an object and the long one: the same answer, to the last type."""
    try:
        wanted = json_decode(data)
    except NotStrict:
        wanted = None
    try:
        value = json_object(data)
    except NotStrict:
        assert not isinstance(wanted, dict)
        raise
    assert repr(value) == repr(wanted)
    return value


def claims_by_both_ways(data: bytes) -> object:
    """The short way to claims and the long one: the same values, or the same refusal."""
    wanted: object
    try:
        wanted = read_claims(strict_object(data), AccessClaims, frozenset())
    except Refused as why:
        wanted = type(why)
    try:
        value = decode_claims(data, AccessClaims, frozenset())
    except Refused as why:
        assert wanted is type(why)
        raise
    assert repr(value) == repr(wanted)
    return value


TARGETS: list[tuple[Callable[[bytes], object], type | tuple[type, ...]]] = [
    (VERIFIER.verify, Caller),
    (VERIFIER.verify_data, Data),
    (lambda data: VERIFIER.verify(data.decode("latin-1")), Caller),
    (lambda data: VERIFIER.verify(spliced(data)), Caller),
    (lambda data: VERIFIER.verify(signed(data, PAYLOAD)), Caller),
    (lambda data: VERIFIER.verify(signed(HEADER, data)), Caller),
    (lambda data: VERIFIER.verify(signed(HEADER, PAYLOAD[:-1] + b"," + data + b"}")), Caller),
    (read_unverified, tuple),
    (KeySet.from_jwks, KeySet),
    (SecretKeySet.from_jwks, SecretKeySet),
    (Page.decode, Page),
    (lambda data: json_decode(json_encode(json_decode(data))), object),
    (object_by_both_ways, dict),
    (claims_by_both_ways, AccessClaims),
    (lambda data: claims_by_both_ways(BODY[:-1] + b"," + data + b"}"), AccessClaims),
    (standard, bytes),
    (lambda data: bearer_token([data]), str),
    (lambda data: Position.parse(data.decode("latin-1")), Position),
]
SEEDS = [
    TOKEN,
    HEADER,
    PAYLOAD,
    BODY,
    json_encode(KeySet([KEY.public]).to_jwks()),
    b"Bearer " + TOKEN,
    b"e.1",
    b'"x":[1e5]',
    b'{"a":1e5,"a":-0}',
]


def feed(data: bytes) -> None:
    """One input: its first byte chooses who reads the rest."""
    if not data:
        return
    read, expected = TARGETS[data[0] % len(TARGETS)]
    try:
        value = read(data[1:])
    except (Refused, ValueError) as why:
        assert not isinstance(why, UnicodeError), type(why)
        assert len(str(why)) < LIMIT, f"{len(str(why))} characters"
        return
    assert isinstance(value, expected), type(value)


def main() -> None:
    """Begin with one good input for each reader."""
    with TemporaryDirectory() as folder:
        for number in range(len(TARGETS)):
            for seed, text in enumerate(SEEDS):
                Path(folder, f"{number}-{seed}").write_bytes(bytes([number]) + text)
        given = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
        atheris.Setup(sys.argv if any(map(os.path.isfile, given)) else [*sys.argv, folder], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
