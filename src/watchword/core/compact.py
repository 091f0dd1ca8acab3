"""The compact form of a token (RFC 7515 section 7.1): three segments, each with one spelling only."""

from typing import Any, Final

from watchword.core.encoding import NotStrict, b64url_decode, json_object
from watchword.errors import Malformed

MAX_TOKEN_BYTES: Final = 64 * 1024


def read_unverified(token: str | bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to believe; `Malformed` otherwise."""
    _, header, payload, signature = split_token(token_bytes(token, MAX_TOKEN_BYTES))
    decode_segment(signature)
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
    """The signed bytes, and the three segments of a compact JWS (RFC 7515 section 7.1)."""
    segments = token.split(b".", 3)
    if len(segments) != 3 or not all(segments):
        raise Malformed("not three segments")
    header, payload, signature = segments
    return token[: len(header) + 1 + len(payload)], header, payload, signature


def decode_segment(text: bytes) -> bytes:
    """A segment's bytes; `Malformed` if it is not strict base64url."""
    try:
        return b64url_decode(text)
    except NotStrict as why:
        raise Malformed(str(why)) from None


def decode_json(text: bytes) -> dict[str, Any]:
    """A segment's JSON object; `Malformed` for anything else."""
    return strict_object(decode_segment(text))


def strict_object(data: bytes) -> dict[str, Any]:
    """A decoded segment's JSON object; `Malformed` for anything else."""
    try:
        return json_object(data)
    except NotStrict as why:
        raise Malformed(str(why)) from None
