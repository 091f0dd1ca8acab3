"""One connection into an ASGI app, whose server and client are the test."""

import asyncio
from typing import Any, Self

from watchword.guard.asgi import App

PATIENCE = 10.0
"""Seconds after which what does not come is taken for lost; nothing waits for them."""


class Wire:
    """A connection that stays open until the app, or the test, ends it. The app runs in ``task``."""

    def __init__(self, app: App, token: str | None, path: str = "/orders", *, kind: str = "websocket") -> None:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self._app = app
        self._kind = kind
        self._scope: dict[str, Any] = {"type": kind, "method": "GET", "path": path, "root_path": "", "headers": headers}
        self._scope |= {"query_string": b"", "client": None, "server": None, "subprotocols": []}
        self._scope["extensions"] = {"websocket.http.response": {}}
        self._to_app: asyncio.Queue[Any] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        self.sendable = asyncio.Event()  # the client takes what is sent to it
        self.sendable.set()
        self.say({"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""})

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.task.done():
            self.say({"type": f"{self._kind}.disconnect"})
            self.task.cancel()
            await asyncio.wait({self.task})

    async def _run(self) -> None:
        await self._app(self._scope, self._to_app.get, self._send)

    async def _send(self, message: Any) -> None:
        await self.sendable.wait()
        self._from_app.put_nowait(dict(message))

    def say(self, message: Any) -> None:
        """Something for the app to receive."""
        self._to_app.put_nowait(message)

    def text(self, text: str) -> None:
        """A message of the client's."""
        self.say({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """What the app sends next. Raises what it has raised, if it has ended without that."""
        hearing = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({hearing, self.task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            return hearing.result()
        hearing.cancel()
        self.task.result()
        raise AssertionError("the app has ended, or is silent")

    async def end(self) -> list[Any]:
        """Wait until the app has ended, and raise what it raised; all that it sent and nobody has heard."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.shield(self.task)
        return self.rest()

    def rest(self) -> list[Any]:
        """All that the app has sent and nobody has heard yet."""
        return [self._from_app.get_nowait() for _ in range(self._from_app.qsize())]
