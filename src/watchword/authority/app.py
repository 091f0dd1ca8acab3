"""The authority over HTTP: the table of routes behind its own wall."""

import logging
from typing import Final

from starlette.middleware.cors import CORSMiddleware

from watchword.authority.answers import answer, refuse
from watchword.authority.authority import Authority
from watchword.authority.http import Call, Left, Route, read_input
from watchword.authority.log.feed import Feed
from watchword.authority.openapi import openapi_document
from watchword.authority.router import Parameters, Responder, Router
from watchword.authority.routes import ROUTES
from watchword.errors import Bug, Refused
from watchword.guard.challenge import Answer
from watchword.guard.exchange import App, Receive, Scope, Send
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.rules import anyone

FEED_PATH: Final = "/revocations"
OPENAPI_PATH: Final = "/openapi.json"
_log: Final = logging.getLogger("watchword.authority")


def build_app(authority: Authority) -> App:
    """The ASGI application: CORS where it is configured, then the wall, then the routes."""
    rows = [(route.method, route.path, _responder(authority, route)) for route in ROUTES]
    app = Router([*rows, ("GET", OPENAPI_PATH, _document(authority))])
    walled = authority.guard.asgi(app, build_policy())
    origins = authority.settings.cors_origins
    return _with_feed(Feed(authority), _with_cors(walled, origins) if origins else walled)


def build_policy() -> Policy:
    """The wall's policy: a row for each route, and nothing else is open."""
    rows = [(route.method, route.path, route.rule) for route in ROUTES]
    return Policy(*rows, ("GET", OPENAPI_PATH, anyone))


def _responder(authority: Authority, route: Route) -> Responder:
    """What a route makes of a request; nothing but an answer leaves here."""

    async def respond(scope: Scope, receive: Receive, parameters: Parameters) -> Answer:
        try:
            read = await read_input(scope, receive, route, authority.settings.body_limit)
            call = Call(scope, parameters, read)
            if route.rule is not anyone:
                authority.guard.recheck(call.caller)  # a body may come long after the headers that were judged
            return answer(await route.endpoint(authority, call), route.status)
        except Refused as refusal:
            return refuse(refusal, realm=authority.settings.issuer, oauth=route.form)
        except Left:
            return Answer(400, [], b"")  # nobody reads it
        except Exception as bug:  # noqa: BLE001 - a mistake of ours: the log has the trace, the answer has nothing
            _log.exception("a request failed")
            return refuse(Bug(type(bug).__name__), realm="")

    return respond


def _document(authority: Authority) -> Responder:
    document = answer(openapi_document(authority.settings.issuer, ROUTES), 200)

    async def respond(*_: object) -> Answer:
        return document

    return respond


def _with_feed(feed: App, app: App) -> App:
    """The feed knows its followers by itself, and each second of a thousand of them passes through here."""

    async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] == "GET" and route_path(scope) == FEED_PATH
        await (feed if asked else app)(scope, receive, send)

    return by_path


def _with_cors(app: App, origins: list[str]) -> App:
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
