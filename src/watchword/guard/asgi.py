"""The wall: ASGI middleware that lets nothing through but what a policy allows."""

import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, final

import msgspec

from watchword.core.caller import Caller
from watchword.core.cutoffs import Position
from watchword.errors import AmbiguousCredentials, InvalidPosition, Refused
from watchword.guard.challenge import answer
from watchword.guard.decisions import Decision
from watchword.guard.handshakes import Handshakes
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.roots import check_roots
from watchword.guard.rules import Rule, anyone, signed_in
from watchword.guard.ticket_office import TicketOffice
from watchword.guard.tickets import Tickets

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Decider(Protocol):
    """What the wall needs of a guard."""

    audience: str

    def expect(self, bound: float) -> None:
        """Some rules have a bound of their own, in seconds."""

    def decide(self, authorization: Sequence[bytes], rule: Rule | None, decision: Decision) -> Caller | None:
        """The caller of a request, None where anyone may; raise `Refused`."""

    def lacks(self, position: Position) -> bool:
        """Whether this position is not known yet."""

    async def reach(self, position: Position) -> None:
        """Wait a little until this position is known; raise `Refused`."""


_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1


@final
class Wall:
    """Around an ASGI app: every http and websocket request is decided by ``guard`` under ``policy``.

    The app reads ``scope["caller"]``: a `Caller`, or None on rows that are open to `anyone`; what stood there before
    is never believed. A request that names a position in ``Watchword-At-Least`` waits a little until that is known, if
    its token is good so far. A `Refused` that the app raises before it has begun to answer becomes the answer.

    For browsers, ``tickets`` has the wall give out and take one-use tickets, and ``subprotocol`` names one that a
    WebSocket may offer with a token after it.
    ``ValueError`` for an app in which some router would see other paths than the wall (`check_roots`).
    """

    def __init__(
        self,
        app: App,
        guard: Decider,
        policy: Policy,
        *,
        root: str = "",
        tickets: Tickets | None = None,
        subprotocol: str | None = None,
    ) -> None:
        """``root`` is the root path that the app around the wall has set, if it has."""
        check_roots(app, root)
        if tickets is not None:
            app, policy = TicketOffice(app, tickets, policy), Policy(("POST", tickets.path, signed_in), *policy.rows)
        for _, _, rule in policy.rows:
            if rule.bound is not None:
                guard.expect(rule.bound)
        self._app = app
        self._guard = guard
        self._decide = guard.decide
        self._rule = policy.rule
        self._realm = guard.audience
        asked = tickets is not None or subprotocol is not None
        self._handshakes = Handshakes(tickets, subprotocol) if asked else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, then answer or hand on."""
        kind = scope.get("type")
        if kind == "http" or kind == "websocket":
            method, path = scope.get("method") if kind == "http" else "GET", route_path(scope)
            decision = Decision(method if isinstance(method, str) else "", path or "")
            outgoing = _Answer(decision, self._realm, scope, send, kind == "websocket")
            rule = self._rule(decision.method, decision.path) if decision.method else None
            pass_on: Send = outgoing.pass_on
            try:
                if self._handshakes is not None and outgoing.websocket and rule is not anyone:
                    scope, pass_on = await self._handshakes.translate(scope, decision.path, pass_on)
                authorization, at_least = ((), None) if rule is anyone else _fields(scope)
                if at_least is not None and self._guard.lacks(at_least):
                    await self._catch_up(authorization, rule, decision, at_least)
                caller = self._decide(authorization, rule, decision)
            except Refused as refusal:
                if refusal not in decision.refusals:
                    decision.decided(rule, refusal)
                if outgoing.websocket:
                    await receive()  # the handshake, which ASGI wants to be taken before it is denied
                await outgoing.refuse(refusal)
                return
            try:
                await self._app({**scope, "caller": caller}, receive, pass_on)
            except Refused as refusal:
                await outgoing.raised(refusal)
        elif kind == "lifespan":
            await self._app(scope, receive, send)
        # Nothing else is spoken here: what cannot be decided about does not pass.

    async def _catch_up(
        self, authorization: Sequence[bytes], rule: Rule | None, decision: Decision, at_least: Position
    ) -> None:
        """Wait until a position is known. Whoever is refused as things stand is refused at once."""
        decision.preliminary = True
        self._decide(authorization, rule, decision)
        decision.preliminary = False
        await self._guard.reach(at_least)


class _Answer(msgspec.Struct):
    """The answer to one request on its way out through the wall: the app's, or a refusal."""

    decision: Decision
    realm: str
    scope: Scope
    send: Send
    websocket: bool
    begun: bool = False  # the app's answer, or the WebSocket, has begun
    replaced: bool = False  # the app's answer gives way to a refusal
    closed: bool = False  # the app has closed the WebSocket, or answered its handshake otherwise

    def pass_on(self, message: Message) -> Awaitable[None]:
        """What the app sends, unless it is a server error made of a refusal: then the refusal itself.

        The exception handlers of an app do not reach into the apps mounted in it: their last resort answers 500 to
        whatever was raised there, and raises it again after that.
        """
        if self.websocket:
            self.begun = True
            self.closed = self.closed or message["type"] not in ("websocket.accept", "websocket.send")
        if self.begun:
            return _nothing() if self.replaced else self.send(message)
        self.begun, kind = True, message["type"]
        if kind == "http.response.start" and message["status"] >= 500:
            refusal = self._behind(message["status"])
            if refusal is not None:
                self.replaced = True
                return self.refuse(self._told(refusal))
        return self.send(message)

    async def raised(self, refusal: Refused) -> None:
        """The app raised a refusal: answer it as far as that is still possible."""
        if self.replaced or self.closed:
            return
        if not self.begun:
            await self.refuse(self._told(refusal))
        elif self.websocket:
            await self.send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": self._told(refusal).code})
        else:
            raise refusal  # half an answer is out: only the server can break it off

    async def refuse(self, refusal: Refused) -> None:
        """Answer with a refusal."""
        status, headers, body = answer(refusal, realm=self.realm, decision=self.decision.id)
        kind = "http.response"
        if self.websocket:
            extensions = self.scope.get("extensions")
            if not isinstance(extensions, Mapping) or "websocket.http.response" not in extensions:
                await self.send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.code})
                return
            kind = "websocket.http.response"
        await self.send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": body})

    def __repr__(self) -> str:
        return "_Answer(...)"  # a scope holds the token

    def _behind(self, status: int) -> Refused | None:
        """The refusal that an app's server error comes from, if it does."""
        handled = sys.exception()
        if handled is not None:
            return _refusal_in(handled)  # None for a bug of the app's own, whatever was refused before
        # A last resort that answers later than it catches says 500; an app that means its answer says another.
        noted = self.decision.refusals if status == 500 else ()
        return noted[-1] if noted else None

    def _told(self, refusal: Refused) -> Refused:
        """See that a refusal has its line in the audit log."""
        if refusal not in self.decision.refusals:
            self.decision.decided(None, refusal)
        return refusal


async def _nothing() -> None:
    pass


def _refusal_in(error: BaseException | None) -> Refused | None:
    """The refusal itself, or the first one in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_refusal_in, error.exceptions)), None)
    return error if isinstance(error, Refused) else None


def _fields(scope: Scope) -> tuple[Sequence[bytes], Position | None]:
    """The values of all ``Authorization`` fields, and the position in ``Watchword-At-Least``.

    `AmbiguousCredentials` if the headers cannot be read for sure, `InvalidPosition` for what is not one position.
    """
    values, positions = [], []
    try:
        headers = scope["headers"]
        if not isinstance(headers, list | tuple):
            headers = scope["headers"] = list(headers)  # the app reads them after us
        for name, value in headers:
            # The length first, as it is quickest; ASGI wants lower case, and another spelling counts all the same.
            length = len(name)
            if length == 13 and (name == b"authorization" or bytes(name).lower() == b"authorization"):
                if type(value) is not bytes:
                    raise AmbiguousCredentials("headers that cannot be read")
                values.append(value)
            elif length == 18 and bytes(name).lower() == b"watchword-at-least":
                positions.append(value)
    except (KeyError, TypeError, ValueError):
        raise AmbiguousCredentials("headers that cannot be read") from None
    return values, _position(positions) if positions else None


def _position(values: Sequence[bytes]) -> Position:
    if len(values) > 1:
        raise InvalidPosition(f"{len(values)} Watchword-At-Least fields")
    try:
        return Position.parse(values[0].strip(b" \t").decode("ascii"))
    except (AttributeError, TypeError, ValueError):
        raise InvalidPosition("Watchword-At-Least holds no position") from None
