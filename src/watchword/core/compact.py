"""The compact form of a token (RFC 7515 section 7.1): three segments, each with one spelling only."""

from typing import Any, Final

import msgspec

from watchword.core.encoding import BASE64URL, ENDINGS, NotStrict, b64url_decode, decode_canonical, json_object
from watchword.errors import Malformed

MAX_TOKEN_BYTES: Final = 64 * 1024
# The largest headers in use, with a chain of certificates, have some twenty commas and three objects or lists.
_MAX_HEADER_COMMAS: Final = 128
_MAX_HEADER_BRACKETS: Final = 256


def read_unverified(token: str | bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to believe; `Malformed` otherwise."""
    _, header, payload, _ = split_token(token_bytes(token, MAX_TOKEN_BYTES))
    return decode_header(header), strict_object(decode_canonical(payload))


class _Named(msgspec.Struct):
    iss: str


_read_name: Final = msgspec.json.Decoder(_Named).decode


def unverified_issuer(token: str) -> str | None:
    """The ``iss`` that a token names, or None: only to choose who verifies it, which reads it all again, strictly.

    What else is in the payload is passed over: nobody is known to have signed it yet.
    """
    parts = token.split(".", 2)
    if len(parts) < 3 or len(token) > MAX_TOKEN_BYTES:
        return None
    try:
        return _read_name(b64url_decode(parts[1].encode())).iss
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def payload_of(token: str) -> dict[str, Any]:
    """The payload of a token that was verified before, whatever its length."""
    return strict_object(decode_canonical(token.encode().split(b".")[1]))


def token_bytes(token: str | bytes, limit: int) -> bytes:
    """The token as bytes, if it is at most ``limit`` bytes of ASCII; `Malformed` otherwise."""
    if not isinstance(token, str | bytes):
        raise Malformed("neither text nor bytes")
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
    if not (
        header[-1] in ENDINGS[len(header) % 4]
        and payload[-1] in ENDINGS[len(payload) % 4]
        and signature[-1] in ENDINGS[len(signature) % 4]
    ):
        raise Malformed("base64url of an impossible length, or with stray bits at its end")
    return signed, header, payload, signature


def decode_header(segment: bytes) -> dict[str, Any]:
    """The members of a header; `Malformed` for anything else, and for many more than any header has.

    A header is read before anybody is known to have signed it: so it is counted first, as to read thousands of members
    costs more than a signature check.
    """
    text = decode_canonical(segment)
    if text.count(b",") > _MAX_HEADER_COMMAS or text.count(b"{") + text.count(b"[") > _MAX_HEADER_BRACKETS:
        raise Malformed("more members than a header has")
    return strict_object(text)


def strict_object(data: bytes) -> dict[str, Any]:
    """A decoded segment's JSON object; `Malformed` for anything else."""
    try:
        return json_object(data)
    except NotStrict as why:
        raise Malformed(str(why)) from None
