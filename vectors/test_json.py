"""JSONTestSuite: what must not be read is no header and no payload; what must be read is."""

import json
from pathlib import Path

import pytest
from vectors.data import files

from watchword import Caller, Key, Refused, Verifier
from watchword.core.encoding import NotStrict, b64url_encode, json_decode, json_encode

NOW = 1_700_000_000
CLAIMS = {"iss": "i", "sub": "s", "aud": "a", "client_id": "c", "iat": NOW, "exp": NOW + 60, "jti": "j"}
MUST_NOT, FREE, MUST = (files(f"jsontestsuite/test_parsing/{kind}_*.json") for kind in "niy")
TRANSFORM = files("jsontestsuite/test_transform/*.json")
REPEATED = frozenset({"y_object_duplicated_key", "y_object_duplicated_key_and_value"})
"""Files whose object repeats a member: to be read by RFC 8259, refused by its advice (section 4) and by us."""


class Signer:
    """Signs whatever it is given, and asks a verifier that trusts it, with room for the largest file."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._header = json_encode({"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"})
        self._verifier = Verifier("i", "a", key.public, max_bytes=1 << 20, clock=lambda: NOW)

    def answer(self, header: bytes | None = None, payload: bytes | None = None) -> str | Caller:
        """The refusal's code, or the caller, of a token with these texts; only a refusal may be raised."""
        parts = (self._header if header is None else header, json_encode(CLAIMS) if payload is None else payload)
        signed = ".".join(map(b64url_encode, parts))
        try:
            return self._verifier.verify(f"{signed}.{b64url_encode(self._key.sign(signed.encode()))}")
        except Refused as why:
            return why.code if len(str(why)) < 200 else "a text that is too long"


@pytest.fixture(scope="module")
def signer() -> Signer:
    """Signs with a key of its own."""
    return Signer(Key.generate("ES256"))


def name(path: Path) -> str:
    """A file as pytest names it."""
    return path.stem


def test_all_are_there(signer: Signer) -> None:
    """188 files to be refused, 35 free, 95 to be read, 22 of many readings; and a good token is good."""
    assert (len(MUST_NOT), len(FREE), len(MUST), len(TRANSFORM)) == (188, 35, 95, 22)
    assert {path.stem for path in MUST} >= REPEATED
    assert isinstance(signer.answer(), Caller)


@pytest.mark.parametrize("path", MUST_NOT, ids=name)
def test_what_must_not_be_read(signer: Signer, path: Path) -> None:
    """It is no JSON, no header and no payload."""
    data = path.read_bytes()
    with pytest.raises(NotStrict) as refused:
        json_decode(data)
    assert len(str(refused.value)) < 200
    assert signer.answer(header=data) == "token_malformed"
    assert signer.answer(payload=data) == "token_malformed"


@pytest.mark.parametrize("path", [*FREE, *TRANSFORM], ids=name)
def test_what_is_free(signer: Signer, path: Path) -> None:
    """Read or refused, and nothing else; what is read is what was written, once and for all."""
    data = path.read_bytes()
    try:
        value = json_decode(data)
    except NotStrict:
        assert signer.answer(header=data) == signer.answer(payload=data) == "token_malformed"
        return
    assert json_decode(json_encode(value)) == value
    assert isinstance(signer.answer(header=data), str)
    assert isinstance(signer.answer(payload=data), str)


@pytest.mark.parametrize("path", [path for path in MUST if path.stem not in REPEATED], ids=name)
def test_what_must_be_read(signer: Signer, path: Path) -> None:
    """It is read as Python reads it, and may be the value of a claim or of a header's member."""
    data = path.read_bytes()
    value = json.loads(data)
    assert json_decode(data) == value
    caller = signer.answer(payload=json_encode(CLAIMS)[:-1] + b',"x":' + data + b"}")
    assert isinstance(caller, Caller)
    assert caller.claims["x"] == value
    assert isinstance(signer.answer(header=signer._header[:-1] + b',"x":' + data + b"}"), Caller)


@pytest.mark.parametrize("stem", sorted(REPEATED))
def test_repeated_members(signer: Signer, stem: str) -> None:
    """They have two readings, so they have none."""
    (data,) = (path.read_bytes() for path in MUST if path.stem == stem)
    with pytest.raises(NotStrict, match="repeated"):
        json_decode(data)
    assert signer.answer(payload=json_encode(CLAIMS)[:-1] + b',"x":' + data + b"}") == "token_malformed"
    assert signer.answer(header=data) == "token_malformed"
