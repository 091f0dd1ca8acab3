"""What goes out: one shape of answer, and one shape of refusal."""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from watchword.core.encoding import json_encode, json_object
from watchword.errors import InvalidClient, Refused
from watchword.guard import challenge
from watchword.guard.challenge import Answer
from watchword.guard.exchange import Send

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_STORE: Final = (b"cache-control", b"no-store")

_OF_JSON: Final = (b"content-type", JSON.encode()), NO_SNIFF
_REPLACED: Final = (b"content-type", b"content-length", b"www-authenticate")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Cached(Generic[Value]):
    """An answer that anybody may keep for so many seconds, 0 for not at all; of others nobody may keep a copy."""

    value: Value
    seconds: int


def answer(value: Any, status: int) -> Answer:
    """An endpoint's answer as JSON; None as 204."""
    if value is None:
        return Answer(204, [NO_STORE, NO_SNIFF], b"")
    kept = NO_STORE
    if isinstance(value, Cached):
        if value.seconds:
            kept = (b"cache-control", b"public, max-age=%d" % value.seconds)
        value = value.value
    body = msgspec.json.encode(value)
    return Answer(status, [*_OF_JSON, kept, _length(body)], body)


def refuse(refusal: Refused, *, realm: str, oauth: bool = False) -> Answer:
    """A refusal as an answer: the problem body, with the members of RFC 6749 section 5.2 at OAuth's endpoints."""
    status, headers, body = challenge.answer(refusal, realm=realm)
    kind = PROBLEM
    if oauth:
        kind = JSON
        body = json_encode(json_object(body) | {"error": refusal.oauth, "error_description": refusal.sentence})
    headers = [header for header in headers if header[0] not in _REPLACED]
    headers += [(b"content-type", kind.encode()), _length(body)]
    if status == 401:
        proof = f'Basic realm="{realm}"' if isinstance(refusal, InvalidClient) else challenge.challenge(refusal, realm)
        headers.append((b"www-authenticate", proof.encode("latin-1")))
    return Answer(status, headers, body)


async def give(answer: Answer, send: Send) -> None:
    """Send it."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)
