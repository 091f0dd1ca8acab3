"""Who answers a request: the authority's routes, found as the wall finds its rules."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple, final

from watchword.authority.answers import give, refuse
from watchword.errors import NotFound
from watchword.guard.challenge import Answer
from watchword.guard.exchange import Receive, Scope, Send
from watchword.guard.paths import Pattern, route_path
from watchword.guard.table import Table

Parameters = Mapping[str, str]
Responder = Callable[[Scope, Receive, Parameters], Awaitable[Answer]]
"""Answers a request whose path has these parameters."""

_NONE: Final[Parameters] = {}


class _Found(NamedTuple):
    respond: Responder
    places: tuple[tuple[int, str], ...]  # where in the path its parameters are, and their names


@final
class Router:
    """An ASGI app of rows (method, path pattern, responder).

    Wall and router look a path up in the same kind of table, so neither can read one as the other does not.
    """

    def __init__(self, rows: Iterable[tuple[str, str, Responder]]) -> None:
        self._first: Final = Table(
            (method, Pattern(path), _found(path, respond)) for method, path, respond in rows
        ).first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request; close what is a WebSocket."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"no {scope['type']} here")  # as ASGI wants it for a lifespan that has no use
        method, path = scope["method"], route_path(scope) or ""
        found = self._first("GET" if method == "HEAD" else method, path)
        if found is None:
            await give(refuse(NotFound("no such route"), realm=""), send)
            return
        parameters = _NONE
        if found.places:
            parts = path.split("/")
            parameters = {name: parts[place] for place, name in found.places}
        await give(await found.respond(scope, receive, parameters), send)


def _found(path: str, respond: Responder) -> _Found:
    places = [(place, part[1:-1]) for place, part in enumerate(path.split("/")) if part.startswith("{")]
    return _Found(respond, tuple(places))
