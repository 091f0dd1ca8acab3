"""Strict base64url (RFC 7515 section 2) and strict JSON (RFC 8259, I-JSON's rules of RFC 7493).

Whatever has two readings is refused, for tokens and for request bodies alike: a second reading is how one check is
made to see something else than the next.
"""

import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

MAX_DEPTH: Final = 32
"""How deep JSON may nest. Nothing that we read needs a quarter of it; parsers elsewhere fall at a few hundred."""

BASE64URL: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
ENDINGS: Final = (frozenset(BASE64URL), frozenset(b""), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))
"""What a segment may end with, by its length modulo 4.

The last character carries 2 or 4 unused bits; only the spelling with zeros there is canonical, and any other would let
one signature have several texts (RFC 4648 section 3.5).
"""

_ENDS = (b'"', b"", b'=="', b'="')
_decode_json, _encode_json = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
_decode_base64 = msgspec.json.Decoder(bytes).decode  # twice as fast as binascii's, on what is canonical already
# The quantifiers are possessive and the closing quote is optional, so that an unclosed string ends the scan: with
# backtracking, a segment of escaped quotes costs seconds.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


_Value = TypeVar("_Value")


class NotStrict(ValueError):
    """The text is not base64url or not JSON by our rules; the message never quotes the input."""


def b64url_encode(data: bytes) -> str:
    """Encode without padding."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_").decode()


def b64url_decode(text: bytes) -> bytes:
    """Decode the canonical, unpadded spelling and nothing else; raise `NotStrict`."""
    if text.translate(None, BASE64URL):
        raise NotStrict("a character outside the base64url alphabet")
    if text and text[-1] not in ENDINGS[len(text) % 4]:
        raise NotStrict("an impossible base64url length, or stray bits at its end")
    return decode_canonical(text)


def decode_canonical(text: bytes) -> bytes:
    """Decode a text of the alphabet that is empty or has one of its `ENDINGS`."""
    return _decode_base64(b'"' + text.translate(_TO_STANDARD) + _ENDS[len(text) % 4])


def json_decode(data: bytes) -> object:
    """Decode JSON; raise `NotStrict` for what has two readings.

    Refused beside plain syntax errors: bytes that are not UTF-8, a byte order mark, repeated members, lone surrogates,
    NaN and infinities (a number too large for a float among them), and nesting deeper than `MAX_DEPTH`.
    """
    try:
        text = data.decode("utf-8")
        _check_depth(data)
        value: object = _decoder.decode(text)
    except NotStrict:
        raise
    except UnicodeDecodeError:
        raise NotStrict("bytes that are not UTF-8") from None
    except (ValueError, RecursionError):
        raise NotStrict("not JSON") from None
    if b"\\u" in data:
        _check_surrogates(value)
    return value


def json_object(data: bytes) -> dict[str, object]:
    """Decode JSON by the rules of `json_decode` and insist on an object.

    The short way is for text that says what encoding its value gives, but for white space: then there was nothing else
    to read in it, as a repeated member or a number out of range would not come back. It costs a tenth.
    """
    try:
        value = _decode_json(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NotStrict("not JSON") from None
    if not isinstance(value, dict):
        raise NotStrict("not a JSON object")
    _check_depth(data)
    text = _encode_json(value)
    if text == data or text == msgspec.json.format(data, indent=-1):
        return value
    again = json_decode(data)
    assert isinstance(again, dict)  # noqa: S101 - as it was above
    return again


def read_back(data: bytes, decode: Callable[[bytes], _Value]) -> _Value | None:
    """What ``decode`` (one of msgspec's for JSON) makes of a text, if encoding that gives the very text; else None.

    Then it holds by the rules of `json_decode`, and nothing in the text was passed over.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        return None
    try:
        value = decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None
    return value if _encode_json(value) == data else None


def json_encode(value: object) -> bytes:
    """Encode compactly, members in the order given; raise ``ValueError`` or ``TypeError`` for what JSON lacks."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except RecursionError:
        raise ValueError("nested too deep for JSON") from None


def _check_depth(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    # Each turn takes the innermost pairs away; a step in Python for each bracket would be dearer than a signature.
    brackets, before = _STRINGS.sub(b"", data).translate(_TO_SQUARE, _NO_BRACKETS), b""
    for _ in range(MAX_DEPTH):
        if len(brackets) == len(before):
            break
        before, brackets = brackets, brackets.replace(b"[]", b"")
    if brackets:
        raise NotStrict(f"JSON nested deeper than {MAX_DEPTH}, or not closed")


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotStrict("a lone surrogate") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrict("a repeated member")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotStrict("a number out of range")
    return number


def _no_constant(_: str) -> object:
    raise NotStrict("NaN or Infinity")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
