"""The wall: ASGI middleware that lets nothing through but what a policy allows."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Protocol, final

from watchword.core.caller import Caller
from watchword.errors import AmbiguousCredentials, Refused
from watchword.guard.challenge import answer
from watchword.guard.decisions import Decision
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.rules import Rule, anyone

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Decider(Protocol):
    """What the wall needs of a guard."""

    audience: str

    def decide(self, authorization: Sequence[bytes], rule: Rule | None, decision: Decision) -> Caller | None:
        """The caller of a request, None where anyone may; raise `Refused`."""


_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


@final
class Wall:
    """Around an ASGI app: every http and websocket request is decided by ``guard`` under ``policy``.

    The app reads ``scope["caller"]``: a `Caller`, or None on rows that are open to `anyone`; what stood there before
    is never believed. A `Refused` that the app raises before it has begun to answer becomes the answer.
    """

    def __init__(self, app: App, guard: Decider, policy: Policy) -> None:
        self._app = app
        self._guard = guard
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, then answer or hand on."""
        kind = scope.get("type")
        if kind == "lifespan":
            await self._app(scope, receive, send)
        elif kind in ("http", "websocket"):
            await _Request(self._guard, scope, receive, send).run(self._app, self._policy)
        # Nothing else is spoken here: what cannot be decided about does not pass.


@final
class _Request:
    """One request on its way through the wall."""

    def __init__(self, guard: Decider, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard = guard
        self._scope = scope
        self._receive = receive
        self._send = send
        self._websocket = scope["type"] == "websocket"
        self._begun = False  # the app's answer, or the WebSocket, has begun
        self._replaced = False  # the app's answer gives way to a refusal

        method = "GET" if self._websocket else scope.get("method")
        self._path = route_path(scope)
        self._method = method if isinstance(method, str) else ""
        self._decision = Decision(self._method, self._path or "")

    async def run(self, app: App, policy: Policy) -> None:
        rule = policy.rule(self._method, self._path or "")
        try:
            fields = () if rule is anyone else authorization_fields(self._scope)
            caller = self._guard.decide(fields, rule, self._decision)
        except Refused as refusal:
            if self._websocket:
                await self._receive()  # the handshake, which ASGI wants to be taken before it is denied
            await self._refuse(refusal)
            return
        try:
            await app({**self._scope, "caller": caller}, self._receive, self._pass_on)
        except Refused as refusal:
            await self._raised(refusal)

    async def _raised(self, refusal: Refused) -> None:
        if self._replaced:
            return
        if not self._begun:
            await self._refuse(self._told(refusal))
        elif self._websocket:
            await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": self._told(refusal).code})
        else:
            raise refusal  # half an answer is out: only the server can break it off

    async def _pass_on(self, message: Message) -> None:
        """What the app sends, unless it is a server error made of a refusal: then the refusal itself.

        The exception handlers of an app do not reach into the apps mounted in it: their last resort answers 500 to
        whatever was raised there, and raises it again after that.
        """
        if self._replaced:
            return
        if not self._begun:
            self._begun = message["type"] not in ("websocket.close", "lifespan.startup")
            refusal = self._behind(message)
            if refusal is not None:
                self._replaced = True
                await self._refuse(self._told(refusal))
                return
        await self._send(message)

    def _behind(self, message: Message) -> Refused | None:
        """The refusal that an app's server error comes from, if it does."""
        if message["type"] != "http.response.start" or message["status"] < 500:
            return None
        handled = sys.exception()
        if handled is not None:
            return _refusal_in(handled)  # None for a bug of the app's own, whatever was refused before
        # A last resort that answers later than it catches says 500; an app that means its answer says another.
        noted = self._decision.refusals if message["status"] == 500 else []
        return noted[-1] if noted else None

    def _told(self, refusal: Refused) -> Refused:
        """See that a refusal has its line in the audit log."""
        if refusal not in self._decision.refusals:
            self._decision.decided(None, refusal)
        return refusal

    async def _refuse(self, refusal: Refused) -> None:
        status, headers, body = answer(refusal, realm=self._guard.audience, decision=self._decision.id)
        kind = "http.response"
        if self._websocket:
            if "websocket.http.response" not in (self._scope.get("extensions") or {}):
                await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.code})
                return
            kind = "websocket.http.response"
        await self._send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": body})


def _refusal_in(error: BaseException | None) -> Refused | None:
    """The refusal itself, or the first one in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_refusal_in, error.exceptions)), None)
    return error if isinstance(error, Refused) else None


def authorization_fields(scope: Scope) -> list[bytes]:
    """The values of all ``Authorization`` fields; `AmbiguousCredentials` if the headers cannot be read for sure."""
    try:
        fields = [(bytes(name).lower(), value) for name, value in scope["headers"]]
    except (KeyError, TypeError, ValueError):
        raise AmbiguousCredentials("headers that cannot be read") from None
    values = [value for name, value in fields if name == b"authorization"]
    if not all(isinstance(value, bytes) for value in values):
        raise AmbiguousCredentials("headers that cannot be read")
    return values
