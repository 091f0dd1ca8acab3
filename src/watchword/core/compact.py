"""The compact form of a token (RFC 7515 section 7.1): three segments, each with one spelling only."""

from typing import Any, Final

from watchword.core.encoding import BASE64URL, NotStrict, decode_canonical, is_canonical, json_object
from watchword.errors import Malformed

MAX_TOKEN_BYTES: Final = 64 * 1024


def read_unverified(token: str | bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to believe; `Malformed` otherwise."""
    _, header, payload, _ = split_token(token_bytes(token, MAX_TOKEN_BYTES))
    return decode_json(header), decode_json(payload)


def token_bytes(token: str | bytes, limit: int) -> bytes:
    """The token as bytes, if it is at most ``limit`` bytes of ASCII; `Malformed` otherwise."""
    if len(token) > limit:
        raise Malformed(f"over {limit} bytes")
    if isinstance(token, bytes):
        return token
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise Malformed("characters outside ASCII") from None


def split_token(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The signed bytes, and the three segments of a compact JWS (RFC 7515 section 7.1), each `decode_canonical`'s."""
    if token.translate(None, BASE64URL) != b"..":
        raise Malformed("not three segments of base64url")
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if not (header and payload and signature):
        raise Malformed("an empty segment")
    if not (is_canonical(header) and is_canonical(payload) and is_canonical(signature)):
        raise Malformed("base64url of an impossible length, or with stray bits at its end")
    return signed, header, payload, signature


def decode_json(text: bytes) -> dict[str, Any]:
    """A segment's JSON object; `Malformed` for anything else."""
    return strict_object(decode_canonical(text))


def strict_object(data: bytes) -> dict[str, Any]:
    """A decoded segment's JSON object; `Malformed` for anything else."""
    try:
        return json_object(data)
    except NotStrict as why:
        raise Malformed(str(why)) from None
