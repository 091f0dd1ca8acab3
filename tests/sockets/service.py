"""A service with a chat and a stream of events, for real servers and real browsers to run.

Its settings are environment variables: SERVICE_ISSUER (whose feed is followed, too), SERVICE_ORIGIN (whose pages
may call it, beside its own), and SERVICE_TICKETS (a folder; by default tickets are in memory).
"""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from watchword import Caller, DirectoryTickets, Guard, Policy, Tickets, anyone, role, signed_in
from watchword.frameworks.fastapi import need, protect

SUBPROTOCOL = "watchword.bearer"

folder = os.environ.get("SERVICE_TICKETS")
guard = Guard(os.environ["SERVICE_ISSUER"], audience="orders", max_staleness=timedelta(seconds=20))
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
    """Says who is there, in which process, and what it was asked; then whatever it is told."""
    await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)
    seen = websocket.url.query, websocket.scope["subprotocols"]
    await websocket.send_json({"subject": caller.subject, "process": os.getpid(), "seen": seen})
    try:
        while True:
            await websocket.send_text(f"{caller.subject}: {await websocket.receive_text()}")
    except WebSocketDisconnect:
        pass


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
