"""A refusal as an HTTP answer: the challenge of RFC 6750 section 3 and the problem body of RFC 9457."""

import re
from typing import NamedTuple

from watchword.core.encoding import json_encode
from watchword.errors import Refused

_DEFAULT_RETRY = 1  # seconds: a guard that lost its authority asks again within that time
_NOT_QUOTABLE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # what error_description may not hold: RFC 6750 section 3


class Answer(NamedTuple):
    """An HTTP answer; header names are lower case, as ASGI wants them."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def answer(refusal: Refused, *, realm: str, decision: str | None = None) -> Answer:
    """What a refused request is told: public parts only. ``decision`` finds the line in the audit log."""
    body = json_encode(problem(refusal, decision))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refusal.status == 401 or refusal.challenge is not None:
        headers.append((b"www-authenticate", challenge(refusal, realm).encode("ascii")))
    retry_after = refusal.retry_after or (_DEFAULT_RETRY if refusal.status == 503 else None)
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    return Answer(refusal.status, headers, body)


def problem(refusal: Refused, decision: str | None = None) -> dict[str, object]:
    """The members of the problem body; the refusal's own never replace the standard ones."""
    members: dict[str, object] = {
        "type": f"urn:watchword:error:{refusal.code}",
        "title": refusal.sentence,
        "status": refusal.status,
        "code": refusal.code,
    }
    if decision is not None:
        members["decision"] = decision
    return members | {name: value for name, value in refusal.public.items() if name not in members}


def challenge(refusal: Refused, realm: str) -> str:
    """The value of ``WWW-Authenticate``: ASCII, and nothing in it can end a quoted text or a line."""
    value = f'Bearer realm="{_quotable(realm)}"'
    if refusal.challenge is None:
        return value
    return f'{value}, error="{refusal.challenge}", error_description="{_quotable(refusal.sentence)}"'


def _quotable(text: str) -> str:
    return _NOT_QUOTABLE.sub("?", text)
