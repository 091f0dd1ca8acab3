"""A process of many WebSocket clients, which do as little as can be.

The first line is the service's URL. ``{"open": [tokens]}`` opens connections that are to stay, and is answered when all
are open; ``{"open": [token], "ends": true}`` one whose end is said unasked: when, and with which code. Any other end is
an error. ``{"count": true}`` is answered with how many stay open.
"""

import asyncio
import json
import sys
import time
from typing import Any, Final, final
from urllib.parse import urlsplit

from bench.live.command import wait_for
from bench.live.processes import allow_many_connections, survive_interrupts

_LONGEST_LINE: Final = 1 << 26
_TOGETHER: Final = 50  # connect at once, less than a listener's backlog
_CLOSE: Final = 0x88
_HANDSHAKE: Final = (
    "GET /echo HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {}\r\n\r\n"
)


@final
class _Client(asyncio.Protocol):
    """One connection; ``opened`` when it is, and its close frame when it comes."""

    def __init__(self, crowd: "_Crowd", token: str, *, ends: bool) -> None:
        self._crowd = crowd
        self._token = token
        self._ends = ends
        self._buffer = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Ask to be let in."""
        self._transport = transport
        transport.write(_HANDSHAKE.format(self._token).encode())

    def data_received(self, data: bytes) -> None:
        """The answer to the handshake, or a close."""
        at = time.monotonic()
        if self.opened.done():
            self._ended(at, data)
            return
        self._buffer += data
        if b"\r\n\r\n" in self._buffer:
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                _fail(f"a handshake was refused: {self._buffer[:500]!r}")
            self.opened.set_result(None)
            self._crowd.open.add(self)

    def _ended(self, at: float, data: bytes) -> None:
        if not self._ends or data[0] != _CLOSE:
            _fail(f"a connection that was to stay has heard {data[:100]!r}")
        print(json.dumps({"at": at, "code": int.from_bytes(data[2:4], "big")}), flush=True)
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """One less."""
        self._crowd.open.discard(self)


@final
class _Crowd:
    """All that are open."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._address = address.hostname, address.port
        self.open: set[_Client] = set()

    async def join(self, tokens: list[str], *, ends: bool) -> None:
        """So many more."""
        loop, (host, port) = asyncio.get_running_loop(), self._address
        for begin in range(0, len(tokens), _TOGETHER):
            some = [_Client(self, token, ends=ends) for token in tokens[begin : begin + _TOGETHER]]
            connecting = [loop.create_connection(lambda client=client: client, host, port) for client in some]  # type: ignore[misc]
            await asyncio.gather(*connecting)
            await asyncio.gather(*(client.opened for client in some))


def _fail(why: str) -> None:
    print(why, file=sys.stderr)
    sys.exit(1)


async def _main() -> None:
    lines = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    crowd = _Crowd((await lines.readline()).decode().strip())
    while line := await lines.readline():
        told = json.loads(line)
        if "open" in told:
            await crowd.join(told["open"], ends=told.get("ends", False))
        print(json.dumps({"open": len(crowd.open)}), flush=True)


if __name__ == "__main__":
    survive_interrupts()
    allow_many_connections()
    wait_for(_main())
