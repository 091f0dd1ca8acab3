"""The service that is measured: it echoes on WebSockets, behind the wall, or with a guard that only opens doors.

Its settings are in the environment: SERVICE_ISSUER, and SERVICE_BARE for the second kind.
"""

import os
from typing import Any

from bench.live.stand import AUDIENCE
from watchword import Guard, Policy, anyone, signed_in
from watchword.guard.asgi import Receive, Scope, Send
from watchword.guard.decisions import Decision

guard = Guard(os.environ["SERVICE_ISSUER"], audience=AUDIENCE)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Also says whether it is there, and follows the authority meanwhile."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text")})


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """What a wall was that looked at handshakes alone."""
    if scope["type"] == "websocket":
        fields = [value for name, value in scope["headers"] if name == b"authorization"]
        scope["caller"] = guard.decide(fields, signed_in, Decision("GET", scope["path"]))
    await echo(scope, receive, send)


async def _live(receive: Any, send: Any) -> None:
    await receive()
    async with guard.lifespan():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


app = (
    bare if "SERVICE_BARE" in os.environ else guard.asgi(echo, Policy(("GET", "/", anyone), ("GET", "/**", signed_in)))
)
