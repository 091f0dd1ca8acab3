"""HTTP/1.1 by hand on kept connections: as little work as can be, so that the asker is not what is measured."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar, final
from urllib.parse import urlencode, urlsplit

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r", re.IGNORECASE)
_STATUS: Final = slice(9, 12)  # of "HTTP/1.1 200 OK"


class Answer(NamedTuple):
    """One answer, and when all of it was there by the monotonic clock, which all processes of a machine share."""

    status: int
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        """The members of a good answer; `Unexpected` for another."""
        self.expect()
        members: dict[str, Any] = json.loads(self.body)
        return members

    def expect(self) -> None:
        """`Unexpected` if it is not a good one."""
        if self.status not in (200, 201):
            raise Unexpected(f"{self.status}: {self.body[:200]!r}")


class Unexpected(Exception):
    """A server did not answer as the bench needs it."""


class Wire(asyncio.Protocol):
    """A connection with at most one open question. A subclass is told each answer by `answered`."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = transport

    def send(self, request: bytes) -> None:
        """Send a question; the one before must have been answered."""
        self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Put the pieces together; nothing follows an answer, as only one question is open."""
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        length = _LENGTH.search(buffer, 0, end + 2) if end >= 0 else None
        if end < 0 or (length is not None and len(buffer) < end + 4 + int(length[1])):
            self._buffer = buffer
            return
        self._buffer = b""
        self.answered(Answer(int(buffer[_STATUS]), buffer[end + 4 :], time.monotonic()))

    def answered(self, answer: Answer) -> None:
        """An answer is there."""


Kind = TypeVar("Kind", bound=Wire)


@final
class Connection(Wire):
    """Ask and await the answer."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes) -> Answer:
        """One question and its answer; ``ConnectionError`` if the server hangs up instead."""
        self._waiting = asyncio.get_running_loop().create_future()
        self.send(request)
        return await self._waiting

    def answered(self, answer: Answer) -> None:
        """Give it to who asked."""
        assert self._waiting is not None
        self._waiting.set_result(answer)

    def connection_lost(self, why: Exception | None) -> None:
        """Nobody waits for ever."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(why or ConnectionResetError("the server has hung up"))


async def open_wire(make: Callable[[], Kind], url: str) -> Kind:
    """A connection to the server at that URL."""
    host, _, port = urlsplit(url).netloc.partition(":")
    _, wire = await asyncio.get_running_loop().create_connection(make, host, int(port))
    return wire


def request(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    members: object = None,
) -> bytes:
    """A whole request as it is sent, with a form or JSON as its body."""
    lines = {"Host": "127.0.0.1", "Accept": "application/json", **(headers or {})}
    body = b""
    if form is not None:
        lines["Content-Type"], body = "application/x-www-form-urlencoded", urlencode(form).encode()
    elif members is not None:
        lines["Content-Type"], body = "application/json", json.dumps(members).encode()
    if method != "GET":
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def basic(client: str, secret: str) -> dict[str, str]:
    """The header that proves a client."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}
