"""Headers that were seen before: the short way to the key leads past no check."""

import json
from collections.abc import Mapping

import pytest

from watchword import Key, KeySet, Refused, Verifier
from watchword.core.encoding import b64url_encode
from watchword.core.keyset import _MAX_HEADERS

NOW = 1_700_000_000
CLAIMS = {"iss": "i", "sub": "s", "aud": "a", "client_id": "c", "iat": NOW, "exp": NOW + 60, "jti": "j"}


def token(key: Key, **members: object) -> str:
    """A signed token whose header has these members beside the usual ones."""
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"} | members
    signed = ".".join(b64url_encode(json.dumps(part).encode()) for part in (header, CLAIMS))
    return f"{signed}.{b64url_encode(key.sign(signed.encode()))}"


def verifier(keys: KeySet, *algorithms: str) -> Verifier:
    """One at whose clock no time passes."""
    return Verifier("i", "a", keys, algorithms=algorithms, clock=lambda: NOW)


def answer(verifier: Verifier, text: str, keys: KeySet | None = None) -> str:
    """The refusal's code, "" for none; the second answer is the first."""
    answers = []
    for _ in range(2):
        try:
            verifier.verify(text, keys=keys)
            answers.append("")
        except Refused as why:
            answers.append(why.code)
    assert answers[0] == answers[1]
    return answers[0]


def header_of(text: str) -> bytes:
    """The segment as it is remembered."""
    return text.partition(".")[0].encode()


@pytest.fixture
def trusted(keys: Mapping[str, Key]) -> KeySet:
    """A set that has seen no header yet."""
    return KeySet([keys["ES256"].public, keys["Ed25519"].public])


def test_only_a_good_signature_is_remembered(keys: Mapping[str, Key], trusted: KeySet) -> None:
    """Whoever signs nothing fills nothing."""
    text = token(keys["Ed25519"])
    forged = text.rpartition(".")[0] + "." + b64url_encode(bytes(64))
    assert answer(verifier(trusted, "Ed25519"), forged) == "bad_signature"
    assert trusted.recall(header_of(text)) is None
    assert answer(verifier(trusted, "Ed25519"), text) == ""
    assert trusted.recall(header_of(text)) == (keys["Ed25519"].public, "at+jwt")
    assert answer(verifier(trusted, "Ed25519"), forged) == "bad_signature"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"crit": ["exp"]}, "token_malformed"),
        ({"alg": "none"}, "algorithm_not_allowed"),
        ({"kid": "nobody"}, "unknown_key"),
        ({"typ": "data+jwt"}, "wrong_token_type"),
        ({"typ": 5}, "wrong_token_type"),
    ],
    ids=str,
)
def test_a_wrong_header_stays_wrong(
    keys: Mapping[str, Key], trusted: KeySet, members: dict[str, object], code: str
) -> None:
    """At first sight and ever after, although the signature is good."""
    assert answer(verifier(trusted, "Ed25519"), token(keys["Ed25519"], **members)) == code


def test_a_narrower_verifier_of_the_same_keys(keys: Mapping[str, Key], trusted: KeySet) -> None:
    """What one verifier allows, another of the same set may not."""
    text = token(keys["Ed25519"])
    assert answer(verifier(trusted, "Ed25519"), text) == ""
    assert answer(verifier(trusted, "ES256"), text) == "algorithm_not_allowed"


def test_each_set_remembers_for_itself(keys: Mapping[str, Key], trusted: KeySet) -> None:
    """A set without the key, or that knows it as withdrawn, does not hear of it from another."""
    text, asked = token(keys["Ed25519"]), verifier(trusted, "Ed25519", "ES256")
    assert answer(asked, text) == ""
    assert answer(asked, text, KeySet([keys["ES256"].public])) == "unknown_key"
    assert answer(asked, text, KeySet([keys["ES256"].public], withdrawn=[keys["Ed25519"].kid])) == "key_withdrawn"


def test_few_are_remembered(keys: Mapping[str, Key], trusted: KeySet) -> None:
    """A signer whose headers never repeat costs room for a few, and its tokens stand."""
    asked = verifier(trusted, "Ed25519")
    texts = [token(keys["Ed25519"], number=number) for number in range(_MAX_HEADERS + 2)]
    for text in texts:
        assert asked.verify(text).subject == "s"
    assert sum(trusted.recall(header_of(text)) is not None for text in texts) == 2
    assert answer(asked, texts[0]) == ""
