"""What the wall adds to a request, in process: no server, no sockets, a token that was seen before."""

import asyncio
from collections.abc import MutableMapping
from itertools import cycle
from typing import Any

from bench import apps, world
from bench.apps import App
from bench.measure import Work, each_await, interleave
from bench.table import Row, Section


def measure() -> list[Section]:
    """Added time over a bare app, and against the routes of two frameworks."""
    signer = world.key("RS256", 2048)
    guard = world.guard(signer)
    starlette = apps.starlette()
    subjects: dict[str, App] = {
        "bare": apps.bare,
        "wall": guard.asgi(apps.bare, apps.policy()),
        "PyJWT middleware": apps.pyjwt_middleware(apps.bare, signer),
        "Starlette": starlette,
        "Starlette, wall": guard.asgi(starlette, apps.policy()),
        "FastAPI": apps.fastapi(),
        "FastAPI, wall": apps.fastapi_protected(guard),
        "FastAPI, need": apps.fastapi_needing(guard),
        "FastAPI, tutorial": apps.fastapi_tutorial(signer),
    }
    loop = asyncio.new_event_loop()
    try:
        for name, app in subjects.items():
            apps.check(loop, app, world.tokens("RS256", 2048)[0])
            if "," in name or name in ("wall", "PyJWT middleware"):
                apps.check(loop, app, "no.token.there", status=401)
        samples = interleave({name: _requests(loop, app) for name, app in subjects.items()})
    finally:
        loop.close()
    rows = [
        Row("a bare ASGI app", samples.cost("bare"), "µs"),
        Row("the wall adds to it", samples.added("wall", "bare"), "µs", 2),
        Row("PyJWT 2.15 in pure ASGI middleware adds to it", samples.added("PyJWT middleware", "bare"), "µs"),
        Row("a Starlette route", samples.cost("Starlette"), "µs"),
        Row("the wall adds to it", samples.added("Starlette, wall", "Starlette"), "µs"),
        Row("a Starlette route with the wall, against it alone", samples.ratio("Starlette, wall", "Starlette"), "x"),
        Row("a FastAPI route", samples.cost("FastAPI"), "µs"),
        Row("the wall adds to it", samples.added("FastAPI, wall", "FastAPI"), "µs"),
        Row("the wall and need() add to it", samples.added("FastAPI, need", "FastAPI"), "µs"),
        Row("FastAPI's tutorial dependency adds to it", samples.added("FastAPI, tutorial", "FastAPI"), "µs"),
        Row("a FastAPI route with the wall, against it alone", samples.ratio("FastAPI, wall", "FastAPI"), "x", 1.10),
        Row("a FastAPI route with the wall and need()", samples.ratio("FastAPI, need", "FastAPI"), "x"),
        Row("a FastAPI route with the tutorial's dependency", samples.ratio("FastAPI, tutorial", "FastAPI"), "x"),
    ]
    return [Section("wall", "The wall, in process, token seen before", rows)]


def _requests(loop: asyncio.AbstractEventLoop, app: App) -> Work:
    """Each request is made right before it is answered, as a server does; all subjects pay alike for that."""
    tokens = cycle(world.tokens("RS256", 2048))

    async def once() -> None:
        await app(apps.request(next(tokens)), apps.nothing, _drop)

    return each_await(loop, once, step=2 * world.POOL)


async def _drop(_: MutableMapping[str, Any]) -> None:
    pass
