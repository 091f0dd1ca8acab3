"""A service with a chat, a stream of events and a download, for real servers and real browsers to run.

Its settings are environment variables: SERVICE_ISSUER (whose feed is followed, too), SERVICE_ORIGIN (whose pages
may call it, beside its own), SERVICE_TICKETS (a folder; by default tickets are in memory), and SERVICE_STALENESS
(in seconds).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.websockets import WebSocketDisconnect

from watchword import Caller, DirectoryTickets, Guard, Policy, Tickets, anyone, role, signed_in
from watchword.frameworks.fastapi import need, protect

SUBPROTOCOL = "watchword.bearer"

folder = os.environ.get("SERVICE_TICKETS")
staleness = timedelta(seconds=float(os.environ.get("SERVICE_STALENESS", "20")))
guard = Guard(os.environ["SERVICE_ISSUER"], audience="orders", max_staleness=staleness)
app = FastAPI(lifespan=guard.lifespan)
policy = Policy(("GET", "/health", anyone), ("GET", "/staff", role("editor")), ("*", "/**", signed_in))
tickets = Tickets("/tickets", DirectoryTickets(folder) if folder else None)
protect(app, guard, open=["/"], policy=policy, tickets=tickets, subprotocol=SUBPROTOCOL)
app.add_middleware(
    CORSMiddleware,
    allow_origins=[os.environ["SERVICE_ORIGIN"]],
    allow_methods=["GET", "POST"],
    allow_headers=["Authorization", "Content-Type"],
)


@app.middleware("http")
async def timed(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """As many services have it: in a task of its own around the wall, and it completes whatever fails."""
    before = time.monotonic()
    answer = await call_next(request)
    answer.headers["Server-Timing"] = f"app;dur={1000 * (time.monotonic() - before):.1f}"
    return answer


SignedIn = Annotated[Caller, need()]


@app.get("/")
async def page() -> HTMLResponse:
    """A page of the service's own origin; the tests say what it does."""
    return HTMLResponse("<!doctype html><title>Chat</title>")


@app.get("/health")
async def health() -> str:
    """Anyone may ask."""
    return "ok"


@app.websocket("/chat")
@app.websocket("/staff")
async def chat(websocket: WebSocket, caller: SignedIn) -> None:
    """Says who is there, in which process, and what it was asked; then whatever it is told. ``renew TOKEN`` renews."""
    await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)
    seen = websocket.url.query, websocket.scope["subprotocols"]
    await websocket.send_json({"subject": caller.subject, "process": os.getpid(), "seen": seen})
    try:
        while True:
            text = await websocket.receive_text()
            if text.startswith("renew "):
                caller = caller.renew(text.removeprefix("renew "))
            await websocket.send_text(f"{caller.subject}: {text[:100]}")
    except WebSocketDisconnect:
        pass


@app.websocket("/firehose")
async def firehose(websocket: WebSocket) -> None:
    """Sends as fast as the client takes it, and does nothing else."""
    await websocket.accept()
    while True:
        await websocket.send_bytes(bytes(65536))


@app.get("/events")
async def events(caller: SignedIn) -> StreamingResponse:
    """Server-sent events, without end."""

    async def ticks() -> AsyncIterator[str]:
        number = 0
        while True:
            yield f"data: {caller.subject} {number}\n\n"
            number += 1
            await asyncio.sleep(0.05)

    return StreamingResponse(ticks(), media_type="text/event-stream")


@app.get("/download")
async def download(caller: SignedIn) -> StreamingResponse:
    """A file without end."""

    async def lines() -> AsyncIterator[str]:
        while True:
            yield f"{caller.subject}\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(lines(), media_type="text/csv")


@app.get("/connections")
async def connections(caller: SignedIn) -> int:
    """How many are open."""
    return guard.status().connections
