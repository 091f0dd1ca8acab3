"""Answers that leave in one piece: uvicorn writes an answer's head and its body one after the other.

On uvloop, as on asyncio, each write is a system call and a packet of its own, and wakes the client up twice: a
twentieth of what a token costs.
"""

import asyncio
from typing import Any, Final, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGE: Final = 64 * 1024  # bytes: a page that a thousand followers share stays one
Data = bytes | bytearray | memoryview


@final
class WholeWrites(HttpToolsProtocol):
    """uvicorn's protocol on a `Joining` transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Stand between uvicorn and the connection."""
        super().connection_made(Joining(transport, self.loop))


@final
class Joining(asyncio.Transport):
    """A transport that writes what comes first in a turn of the loop together with what comes next.

    No more than that one piece waits, until the next comes or the turn ends: so what a client leaves unread is known to
    the transport as before. It has the methods that an HTTP protocol needs.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport: Final = transport
        self._loop: Final = loop
        self._first: Data = b""

    def write(self, data: Data) -> None:
        """Write it together with what waits, or let it wait. What is large is not copied for it."""
        if len(data) > _LARGE:
            self._flush()
            self._transport.write(data)
        elif self._first:
            first, self._first = self._first, b""
            self._transport.write(b"".join((first, data)))
        elif data:
            self._first = data
            self._loop.call_soon(self._flush)

    def close(self) -> None:
        """Close the connection once all is written."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Take in nothing more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in more again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        first, self._first = self._first, b""
        if first and not self._transport.is_closing():
            self._transport.write(first)
