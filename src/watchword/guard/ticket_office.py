"""The endpoint that gives out tickets: the wall puts it before the app, behind itself."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, final
from urllib.parse import unquote

from watchword.core.caller import Caller
from watchword.core.encoding import NotStrict, json_encode, json_object
from watchword.errors import BodyTooLarge, BodyTooSlow, InvalidField, InvalidRequest, NoRule, UnsupportedMediaType
from watchword.guard.exchange import App, Receive, Scope, Send
from watchword.guard.paths import route_path
from watchword.guard.policy import Policy
from watchword.guard.rules import anyone
from watchword.guard.tickets import SECONDS, Tickets

_MAX_BODY: Final = 4096
_BODY_SECONDS: Final = 10.0


class _Gone(Exception):
    """The client went away in the middle of its request."""


@final
class TicketOffice:
    """Answers ``POST {"path": "/chat"}`` with a ticket for that WebSocket, if the policy would let its caller in now.

    All else is the app's. The wall has seen to it that whoever comes here is signed in.
    """

    def __init__(self, app: App, tickets: Tickets, policy: Policy) -> None:
        self._app = app
        self._tickets = tickets
        self._rule = policy.rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on; raise `Refused`."""
        if scope["type"] != "http" or scope["method"] != "POST" or route_path(scope) != self._tickets.path:
            await self._app(scope, receive, send)
            return
        with suppress(_Gone):
            body = await _body(receive, scope["headers"])
            root = scope.get("root_path", "")
            await self._answer(scope["caller"], root, _wanted(body, root), send)

    async def _answer(self, caller: Caller, root: str, path: str, send: Send) -> None:
        rule = self._rule("GET", path)
        if rule is None:
            raise NoRule("no row covers the path that a ticket is wanted for")
        if rule is anyone:
            raise _no_path("the path is open to anyone and takes no ticket")
        caller.require(rule)
        answer = json_encode({"ticket": await self._tickets.give(caller, root + path), "expires_in": SECONDS})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(answer)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    kinds = [value for name, value in headers if name.lower() == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMediaType("the content type is not application/json")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _whole(receive)
    except TimeoutError:
        raise BodyTooSlow(f"not whole after {_BODY_SECONDS:.0f} s") from None


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise BodyTooLarge(f"over {_MAX_BODY} bytes", limit=_MAX_BODY)
        more = message.get("more_body", False)
    return body


def _wanted(body: bytes, root: str) -> str:
    """The path that a router will see when the URL of the WebSocket has this one."""
    try:
        members = json_object(body)
    except NotStrict as why:
        raise InvalidRequest(str(why), reason=str(why)) from None
    if members.keys() != {"path"}:
        raise _no_path("path is needed, and all that there is")
    path = members["path"]
    if not isinstance(path, str) or not path.startswith("/") or not path.isprintable() or {"?", "#"} & set(path):
        raise _no_path("not the path of a URL, without its query")
    try:
        decoded = unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _no_path("not the path of a URL, without its query") from None
    return route_path({"path": decoded, "root_path": root}) or ""


def _no_path(reason: str) -> InvalidField:
    return InvalidField(f"path: {reason}", field="path", reason=reason)
