"""The least that a long poll can be, to hold the feed against: one page for all who wait, under the same server."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import uvicorn

_PAGE: Final = Path(sys.argv[2]).read_bytes()
_BEFORE, _CURSOR, _AFTER = re.split(rb'(?<="cursor":")([^"]+)', _PAGE)
_happens = asyncio.Event()
_events = 0
_cursor = b"%0*d" % (len(_CURSOR), _events)


async def app(
    scope: MutableMapping[str, Any], _: object, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]
) -> None:
    """POST lets it happen; GET waits for that, unless it has happened since its cursor."""
    global _happens, _events, _cursor
    if scope["method"] == "POST":
        _events += 1
        _cursor = b"%0*d" % (len(_CURSOR), _events)
        happened, _happens = _happens, asyncio.Event()
        happened.set()
    elif _cursor in scope["query_string"]:
        await _happens.wait()
    body = _BEFORE + _cursor + _AFTER
    length = (b"content-length", b"%d" % len(body))
    headers = [(b"content-type", b"application/json"), length]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), lifespan="off", log_config=None, access_log=False, server_header=False)
