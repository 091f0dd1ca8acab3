"""The wall: ASGI middleware that lets nothing through but what a policy allows."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, final

from watchword.core.caller import Caller
from watchword.core.cutoffs import Position
from watchword.errors import AmbiguousCredentials, InvalidPosition, Refused
from watchword.guard.decisions import Decision
from watchword.guard.exchange import App, Exchange, Message, Receive, Scope, Send
from watchword.guard.handshakes import Handshakes
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.roots import check_roots
from watchword.guard.rules import Rule, anyone, signed_in
from watchword.guard.ticket_office import TicketOffice
from watchword.guard.tickets import Tickets

__all__ = ["App", "Message", "Receive", "Scope", "Send", "Wall"]

_BY_ITSELF: Final = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


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
            exchange = Exchange(decision, self._realm, scope, receive, send, kind == "websocket", self._decide)
            rule = decision.rule = self._rule(decision.method, decision.path) if decision.method else None
            pass_on: Send = exchange.pass_on
            try:
                if self._handshakes is not None and exchange.websocket and rule is not anyone:
                    scope, pass_on = await self._handshakes.translate(scope, decision.path, pass_on)
                authorization, at_least = ((), None) if rule is anyone else _fields(scope)
                if at_least is not None and self._guard.lacks(at_least):
                    await self._catch_up(authorization, rule, decision, at_least)
                caller = self._decide(authorization, rule, decision)
                if caller is not None:
                    exchange.begin()
            except Refused as refusal:
                if refusal not in decision.refusals:
                    decision.decided(rule, refusal)
                if exchange.websocket:
                    await receive()  # the handshake, which ASGI wants to be taken before it is denied
                await exchange.refuse(refusal)
                return
            scope = {**scope, "caller": caller}
            if exchange.known and scope.get("extensions"):
                scope["extensions"] = _extensions(scope["extensions"])
            await self._let_in(exchange, scope, pass_on)
        elif kind == "lifespan":
            await self._app(scope, receive, send)
        # Nothing else is spoken here: what cannot be decided about does not pass.

    async def _let_in(self, exchange: Exchange, scope: Scope, pass_on: Send) -> None:
        """Let the app answer, and hold a connection open for no longer than its caller stands."""
        try:
            await self._app(scope, exchange.take_in, pass_on)
        except Refused as refusal:
            await exchange.raised(refusal)
        except BaseException as error:
            if exchange.connection is None or not exchange.connection.caused(error):
                raise
        finally:
            if exchange.connection is not None:
                await exchange.connection.over()
        exchange.break_off()

    async def _catch_up(
        self, authorization: Sequence[bytes], rule: Rule | None, decision: Decision, at_least: Position
    ) -> None:
        """Wait until a position is known. Whoever is refused as things stand is refused at once."""
        decision.preliminary = True
        self._decide(authorization, rule, decision)
        decision.preliminary = False
        await self._guard.reach(at_least)


def _extensions(offered: object) -> object:
    """Without those by which the server sends a whole file by itself: no end would reach into that."""
    if not isinstance(offered, Mapping):
        return offered
    return {name: value for name, value in offered.items() if name not in _BY_ITSELF}


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
