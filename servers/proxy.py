"""A network that fails on purpose: a TCP proxy whose way can be cut, stalled, slowed and closed while it is in use."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from examples.processes import free_port

CHUNK: Final = 16 * 1024
QUEUED: Final = 64
"""Chunks held in each direction of a connection, 1 MiB; then the sender has to wait, as in TCP."""
BACKLOG: Final = 512
TICK: Final = 0.05
"""Seconds between two pieces of a trickle."""
COMMAND_SECONDS: Final = 10.0
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close() sends RST

Direction = Literal["to_server", "to_client"]


class Proxy:
    """Stands between clients and one address, in a thread of its own; a context manager.

    Each verb changes the weather for old and new connections alike, and has taken effect when it returns. What is
    stalled is not lost: like TCP after a partition, it arrives when the way is open again, unless `cut` ended it.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target if "//" in target else f"//{target}")
        if not (parts.hostname and parts.port):
            raise ValueError(f"{target!r} is neither host:port nor a URL with both")
        self._target = (parts.hostname, parts.port)
        self._url = parts
        self._port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: socket.socket | None = None
        self._flapping: asyncio.Task[None] | None = None
        self._tasks = set[asyncio.Task[None]]()
        self._sockets = set[socket.socket]()
        self._ways: dict[Direction, _Way] = {"to_server": _Way(), "to_client": _Way()}

    @property
    def port(self) -> int:
        """Where clients connect, on loopback."""
        return self._port

    @property
    def url(self) -> str:
        """The target's URL, by way of this proxy."""
        who = self._url.netloc.rpartition("@")[0]
        return urlunsplit(self._url._replace(netloc=f"{who and f'{who}@'}127.0.0.1:{self._port}"))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._tasks)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- The weather

    def heal(self) -> None:
        """All is well: whatever was done to the way is undone. Connections that were cut stay cut."""
        self._do(self._calm, self._listen)

    def refuse(self) -> None:
        """New connections are refused, as by a machine without that service; old ones live on."""
        self._do(self._calm, self._close)

    def cut(self) -> None:
        """Connections end with RST, now; new ones are welcome."""
        self._do(self._reset)

    def down(self) -> None:
        """`cut` and `refuse`: as by a process that was killed."""
        self._do(self._calm, self._close, self._reset)

    def black_hole(self) -> None:
        """Nothing passes in either direction, and nobody is told: connections open and stay silent."""
        self._do(self._calm, self._listen, self._stall("to_server", "to_client"))

    def half_open(self, direction: Direction) -> None:
        """One direction passes nothing, and nobody is told; ``direction`` is the one that is lost."""
        self._do(self._calm, self._listen, self._stall(direction))

    def delay(self, seconds: float) -> None:
        """Whatever passes arrives that much later, in each direction."""

        async def slow() -> None:
            for way in self._ways.values():
                way.change(delay=seconds)

        self._do(self._calm, self._listen, slow)

    def trickle(self, rate: float) -> None:
        """At most so many bytes a second pass, on each connection and in each direction."""

        async def narrow() -> None:
            for way in self._ways.values():
                way.change(rate=rate)

        self._do(self._calm, self._listen, narrow)

    def flap(self, seconds: float) -> None:
        """`down` for so many seconds, then well for as many, and so on until another verb; down at first."""

        async def alternate() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._listen()
                await asyncio.sleep(seconds)
                await self._close()
                await self._reset()

        async def begin() -> None:
            self._flapping = self._loop.create_task(alternate())

        self._do(self._calm, self._close, self._reset, begin)

    # -- In the proxy's own thread

    def _do(self, *steps: Callable[[], Awaitable[None]]) -> None:
        async def all_of_them() -> None:
            for step in steps:
                await step()

        asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(COMMAND_SECONDS)

    async def _calm(self) -> None:
        if self._flapping:
            await _cancel(self._flapping)
            self._flapping = None
        for way in self._ways.values():
            way.change()

    def _stall(self, *directions: Direction) -> Callable[[], Awaitable[None]]:
        async def stall() -> None:
            for direction in directions:
                self._ways[direction].change(stalled=True)

        return stall

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self._port), backlog=BACKLOG)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._welcome, self._listener)

    async def _close(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _reset(self) -> None:
        for each in self._sockets:
            _end_with_rst(each)
        await _cancel(*self._tasks)
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    async def _end(self) -> None:
        await self._calm()
        await self._close()
        await self._reset()

    def _welcome(self, listener: socket.socket) -> None:
        """Let one client in. It is taken and noted in one step, so that no cut can come in between."""
        try:
            connection, _ = listener.accept()
        except OSError:  # it went away again
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._tasks.add(task)
        self._sockets.add(connection)

        def gone(_: object) -> None:
            self._tasks.discard(task)
            self._sockets.discard(connection)
            connection.close()

        task.add_done_callback(gone)

    async def _connect(self, connection: socket.socket) -> None:
        """One client's connection, from beginning to end."""
        reader, writer = await asyncio.open_connection(sock=connection, limit=CHUNK)
        to_server, to_client = self._ways["to_server"], self._ways["to_client"]
        async with self._kept(writer):
            await to_server.passable(self._loop.time())
            answers, server = await asyncio.open_connection(*self._target, limit=CHUNK)
            async with self._kept(server), asyncio.TaskGroup() as both:
                both.create_task(to_server.carry(reader, server))
                both.create_task(to_client.carry(answers, writer))

    @contextlib.asynccontextmanager
    async def _kept(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """A connection while it is used. If either end is gone, or was never there, the other gets RST."""
        connection: socket.socket = writer.get_extra_info("socket")
        self._sockets.add(connection)
        try:
            yield
            writer.close()
            await writer.wait_closed()
        except* OSError:
            _end_with_rst(connection)
        finally:
            self._sockets.discard(connection)
            writer.transport.abort()


class _Way:
    """One direction: what is done to whatever takes it, on all connections."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.change()

    def change(self, *, stalled: bool = False, delay: float = 0.0, rate: float | None = None) -> None:
        """Set the weather; who waits looks again."""
        self._stalled, self._delay, self._rate = stalled, delay, rate
        self._changed.set()
        self._changed = asyncio.Event()

    async def passable(self, arrived: float) -> None:
        """Wait until what arrived at that time may go on."""
        loop = asyncio.get_running_loop()
        while self._stalled or loop.time() < arrived + self._delay:
            changed = self._changed
            wait = None if self._stalled else arrived + self._delay - loop.time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), wait)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Bring everything from one end to the other, the end of the stream included."""
        queue = asyncio.Queue[tuple[float, bytes | OSError]](QUEUED)

        async def read() -> None:
            chunk: bytes | OSError = b"something"
            while chunk and isinstance(chunk, bytes):
                try:
                    chunk = await reader.read(CHUNK)
                except OSError as reset:  # it takes the same way, and as long
                    chunk = reset
                await queue.put((asyncio.get_running_loop().time(), chunk))

        reading = asyncio.create_task(read())
        try:
            while True:
                arrived, chunk = await queue.get()
                await self.passable(arrived)
                if isinstance(chunk, OSError):
                    raise chunk
                if not chunk:
                    writer.write_eof()
                    return
                await self._send(chunk, writer)
        finally:
            await _cancel(reading)

    async def _send(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        while chunk:
            size = len(chunk) if self._rate is None else max(1, int(self._rate * TICK))
            writer.write(chunk[:size])
            await writer.drain()
            if self._rate is not None:
                await asyncio.sleep(size / self._rate)
            chunk = chunk[size:]


def _end_with_rst(connection: socket.socket) -> None:
    """Whenever it is closed."""
    with contextlib.suppress(OSError):  # it may be closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
