"""FastAPI: `protect` puts the wall around an app, `need` gives a handler its caller and narrows who may call it.

guard = Guard("https://auth.example", audience="orders")
app = FastAPI(lifespan=guard.lifespan)
protect(app, guard, open=["/health"])

Editor = Annotated[Caller, need(role("editor"))]
"""

import math
from collections.abc import Iterable
from typing import Any, Final, cast

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from watchword.core.caller import Caller
from watchword.errors import NoToken
from watchword.guard.asgi import Wall
from watchword.guard.breaker import Breaker
from watchword.guard.guard import Guard
from watchword.guard.policy import Policy
from watchword.guard.roots import check_roots
from watchword.guard.rules import Rule, anyone, signed_in
from watchword.guard.tickets import Tickets

__all__ = ["need", "protect"]

_SCHEME: Final = "bearer"
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_PROBLEM_NAME: Final = "WatchwordProblem"
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457). `code` is stable; `decision` finds the line in the service's audit log.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "decision": {"type": "string"},
        "missing": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["type", "title", "status", "code"],
}
_ANSWERS: Final = {
    "401": "No token, or one that does not stand",
    "403": "The caller is not allowed to do this",
    "503": "Revocations cannot be checked at the moment",
}


def protect(
    app: FastAPI,
    guard: Guard,
    *,
    open: Iterable[str] = (),  # noqa: A002
    policy: Policy | None = None,
    tickets: Tickets | None = None,
    subprotocol: str | None = None,
) -> None:
    """Put the wall around an app: every path needs a caller, mounted apps and the docs pages included.

    ``open`` lists paths (or patterns, as a `Policy` has them) that anyone may GET; other methods there need a caller.
    ``policy`` replaces "a caller" for all the rest. The wall goes innermost, so that CORS and other middleware serve
    refusals too, and the OpenAPI document says what is needed. Outermost goes a `Breaker`: what the wall breaks off, no
    middleware in between makes whole. ``tickets`` and ``subprotocol`` let browsers open
    WebSockets: see `watchword.guard.asgi.Wall`.

    Call it before the app starts: ``RuntimeError`` after that, or for a second wall; ``ValueError`` if an app that is
    mounted sets a ``root_path`` other than where it is mounted, as its router would see other paths than the wall.
    """
    if app.middleware_stack is not None:
        raise RuntimeError("protect comes before the app's start: until now it has answered without a wall")
    if any(cast("object", middleware.cls) is Wall for middleware in app.user_middleware):
        raise RuntimeError("the app has its wall already")
    if isinstance(open, str):
        raise ValueError("open is a list of paths, not one text")
    rest = (("*", "/**", signed_in),) if policy is None else policy.rows
    whole = Policy(*(("GET", path, anyone) for path in open), *rest)
    check_roots(app, app.root_path)
    wall = Middleware(Wall, guard, whole, root=app.root_path, tickets=tickets, subprotocol=subprotocol)
    app.user_middleware.append(wall)
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Breaker(build())  # type: ignore[method-assign]  # also around what comes later
    _document(app, whole)


def need(rule: Rule = signed_in) -> Any:
    """A dependency that gives a handler, http or websocket, its `Caller`, if the caller satisfies the rule.

    Write ``Annotated[Caller, need(role("editor"))]``. It works in included routers and in mounted apps. Without a wall
    around the app it raises ``RuntimeError``. FastAPI reads the body first: 422 comes before 403 unless a policy
    decides it. A rule with a bound of its own (`Rule.within`) has the token judged once more, by what is known then.
    """
    if rule is anyone:
        raise ValueError("need(anyone) needs nothing: open the path in protect, or in its policy")
    if rule.bound == math.inf:
        raise ValueError("need only narrows: what may rest on stale knowledge is a row of the policy")

    async def caller(connection: HTTPConnection) -> Caller:
        return _required(connection, rule)

    return Depends(caller)


def _required(connection: HTTPConnection, rule: Rule) -> Caller:
    scope = connection.scope
    caller = scope.get("caller")
    if isinstance(caller, Caller):
        caller.require(rule)
        return caller
    if "caller" in scope and caller is None:
        raise NoToken("the path is open, so that tokens are ignored; its handler needs a caller")
    raise RuntimeError("need() without a wall: call protect(app, guard) first")


def _document(app: FastAPI, policy: Policy) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        if _SCHEME not in document.get("components", {}).get("securitySchemes", {}):
            _secure(document, policy)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _secure(document: dict[str, Any], policy: Policy) -> None:
    """Name the scheme, or the docs page's Authorize button sends nothing, and say what is open."""
    components = document.setdefault("components", {})
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    components.setdefault("securitySchemes", {})[_SCHEME] = scheme
    components.setdefault("schemas", {}).setdefault(_PROBLEM_NAME, _PROBLEM)
    document["security"] = [{_SCHEME: []}]
    for path, operations in document.get("paths", {}).items():
        for method in _METHODS & operations.keys():
            operation = operations[method]
            if policy.rule(method.upper(), path) is anyone:
                operation["security"] = []
                continue
            for status, description in _ANSWERS.items():
                operation.setdefault("responses", {}).setdefault(status, _answer(description))


def _answer(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{_PROBLEM_NAME}"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
