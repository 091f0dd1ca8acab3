"""The product's parts put together as `Verifier` does, for signatures over anything: vectors sign texts, not claims."""

from watchword import KeySet, Refused, Verifier
from watchword.core.compact import decode_header, split_token
from watchword.core.encoding import decode_canonical
from watchword.core.secret import SecretKeySet

_STAND_IN = b"e30"
BEFORE_THE_SIGNATURE = frozenset({"token_malformed", "algorithm_not_allowed", "unknown_key", "bad_signature"})


def stands(token: bytes, keys: KeySet | SecretKeySet) -> bool:
    """Whether this is a compact JWS whose signature stands under one of these keys.

    Where a verifier of tokens can be asked too, it must say the same, at first sight and once it has seen the header.
    """
    try:
        answer = _verify(token, keys)
    except Refused:
        answer = False
    if isinstance(keys, KeySet) and b".." not in token:
        verifier = Verifier("https://auth.example", "orders", keys)
        assert [_passes_the_signature(verifier, token) for _ in range(2)] == [answer, answer]
    return answer


def _verify(token: bytes, keys: KeySet | SecretKeySet) -> bool:
    signed, header_text, _, signature = _split(token)
    header = decode_header(header_text)
    key = keys.find(header.get("kid", ""))
    return header.get("alg") == key.algorithm and key.verify(decode_canonical(signature), signed)


def _split(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """As the product splits. A JWS may sign nothing, which no token does: there something stands in for the payload."""
    before, nothing, after = token.partition(b"..")
    if not nothing:
        return split_token(token)
    _, header, _, signature = split_token(before + b"." + _STAND_IN + b"." + after)
    return header + b".", header, b"", signature


def _passes_the_signature(verifier: Verifier, token: bytes) -> bool:
    """A text that is no access token is refused for that; before, for its form, its key or its signature."""
    try:
        verifier.verify(token)
    except Refused as why:
        return why.code not in BEFORE_THE_SIGNATURE
    raise AssertionError("no vector is an access token")
