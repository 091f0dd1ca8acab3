"""A server's process: one of the apps under uvicorn, on a port of its own choice, which it prints."""

import os
import socket
import sys

import uvicorn

from bench import apps, world
from bench.apps import App
from watchword import Key


def main(which: str, core: str) -> None:
    """The key comes in on stdin as PEM."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    signer = Key.from_pem(sys.stdin.read(), "RS256")
    guard = world.guard(signer)
    app: App
    match which:
        case "starlette":
            app = apps.starlette()
        case "starlette-wall":
            app = guard.asgi(apps.starlette(), apps.policy())
        case "fastapi":
            app = apps.fastapi()
        case "fastapi-wall":
            app = apps.fastapi_protected(guard)
        case "fastapi-need":
            app = apps.fastapi_needing(guard)
        case "fastapi-tutorial":
            app = apps.fastapi_tutorial(signer)
        case _:
            raise SystemExit(f"no app {which}")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, access_log=False, log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


main(*sys.argv[1:])
