"""The authority over HTTP: the table of routes behind its own wall."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from watchword.authority.authority import Authority
from watchword.authority.http import Route, answer, read_call, refuse
from watchword.authority.log.feed import Feed
from watchword.authority.openapi import openapi_document
from watchword.authority.routes import ROUTES
from watchword.errors import Bug, Refused
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.rules import anyone

FEED_PATH: Final = "/revocations"
OPENAPI_PATH: Final = "/openapi.json"
_log: Final = logging.getLogger("watchword.authority")


def build_app(authority: Authority) -> ASGIApp:
    """The ASGI application: CORS where it is configured, then the wall, then the routes."""
    routes: list[BaseRoute] = [_starlette_route(authority, route) for route in ROUTES]
    routes.append(StarletteRoute(OPENAPI_PATH, _document(authority), methods=["GET"]))
    # The router never guesses: a path with a slash too many is another path, and no rule opens it.
    app = Starlette(routes=routes, exception_handlers={Exception: _bug})
    app.router.redirect_slashes = False
    walled = authority.guard.asgi(app, build_policy())
    origins = authority.settings.cors_origins
    return _with_feed(Feed(authority), _with_cors(walled, origins) if origins else walled)


def build_policy() -> Policy:
    """The wall's policy: a row for each route, and nothing else is open."""
    rows = [(route.method, route.path, route.rule) for route in ROUTES]
    return Policy(*rows, ("GET", OPENAPI_PATH, anyone))


def _starlette_route(authority: Authority, route: Route) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        try:
            call = await read_call(request, route, authority.settings.body_limit)
            if route.rule is not anyone:
                authority.guard.recheck(call.caller)  # a body may come long after the headers that were judged
            return answer(await route.endpoint(authority, call), route.status)
        except Refused as refusal:
            return refuse(refusal, realm=authority.settings.issuer, oauth=route.form)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it

    return StarletteRoute(route.path, endpoint, methods=[route.method])


async def _bug(_: Request, error: Exception) -> Response:
    """A mistake of ours: the log has the trace, the answer has nothing but the one shape."""
    _log.error("a request failed", exc_info=error)
    return refuse(Bug(type(error).__name__), realm="")


def _document(authority: Authority) -> Callable[[Request], Awaitable[Response]]:
    document = answer(openapi_document(authority.settings.issuer, ROUTES), 200)

    async def endpoint(_: Request) -> Response:
        return document

    return endpoint


def _with_feed(feed: ASGIApp, app: ASGIApp) -> ASGIApp:
    """The feed knows its followers by itself, and each second of a thousand of them passes through here."""

    async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "GET" and route_path(scope) == FEED_PATH
        await (feed if asked else app)(scope, receive, send)

    return by_path


def _with_cors(app: ASGIApp, origins: list[str]) -> ASGIApp:
    """Pages of these origins may call everything but the administration."""
    cors = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["WWW-Authenticate", "Retry-After"],
    )

    async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        await (app if path == "/admin" or path.startswith("/admin/") else cors)(scope, receive, send)

    return by_path
