"""How a browser shows its token at the handshake of a WebSocket, where a service has asked for it by name.

Both ways are turned into the ``Authorization`` field that the browser could not send. Then the wall decides as ever:
whoever shows several credentials, whichever, has sent several fields.
"""

import re
from collections.abc import Awaitable, Iterable
from typing import Final, final
from urllib.parse import unquote_to_bytes

from watchword.errors import AmbiguousCredentials, InvalidTicket
from watchword.guard.exchange import Message, Scope, Send
from watchword.guard.tickets import Tickets

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a token of RFC 9110 section 5.6.2
_HEADER: Final = b"sec-websocket-protocol"
_MOST: Final = 256
"""Parameters and subprotocols that are looked at: a stranger's long list shall not cost a hundredth of a second."""


@final
class Handshakes:
    """The ways in beside ``Authorization``: a ticket in the query string, and a token after a named subprotocol."""

    def __init__(self, tickets: Tickets | None, subprotocol: str | None) -> None:
        if subprotocol is not None and not _NAME.fullmatch(subprotocol):
            raise ValueError("a subprotocol is one name, such as watchword.bearer")
        self._tickets, self._subprotocol = tickets, subprotocol

    async def translate(self, scope: Scope, path: str, send: Send) -> tuple[Scope, Send]:
        """The scope with what was shown as ``Authorization`` fields and nowhere else, and how the app sends.

        `InvalidTicket`, `TicketsUnavailable`, or `AmbiguousCredentials` for what cannot be read for sure.
        """
        changed = dict(scope)
        try:
            headers = list(scope["headers"])
            if self._subprotocol is not None:
                headers, offered, token = _without_token(headers, self._subprotocol)
                if token is not None:
                    headers.append(_field(token))
                    changed["subprotocols"], send = offered, _answering(self._subprotocol, send)
            if self._tickets is not None:
                query, ticket = _without_ticket(scope.get("query_string", b""), self._tickets.parameter.encode())
                if ticket is not None:
                    changed["query_string"] = query
                    stands_for = await self._tickets.take(ticket, scope.get("root_path", "") + path)
                    headers.append(_field(stands_for.encode()))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise AmbiguousCredentials("a handshake that cannot be read") from None
        changed["headers"] = headers
        return changed, send


def _field(token: bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + token


def _without_ticket(query: bytes, parameter: bytes) -> tuple[bytes, str | None]:
    """A query string without its ticket, and the ticket; None for none.

    A name counts however it is spelled, as the app would read it. The value has one spelling.
    """
    parts = _parts(query, b"&")
    found = [part for part in parts if unquote_to_bytes(part.partition(b"=")[0]) == parameter]
    if not found:
        return query, None
    if len(found) > 1:
        raise AmbiguousCredentials(f"{len(found)} tickets")
    name, _, value = found[0].partition(b"=")
    if name != parameter or not value.isascii():
        raise InvalidTicket("not of the form of a ticket")
    return b"&".join(part for part in parts if part is not found[0]), value.decode("ascii")


def _without_token(
    headers: Iterable[tuple[bytes, bytes]], marker: str
) -> tuple[list[tuple[bytes, bytes]], list[str], bytes | None]:
    """The headers without a marker and the token after it, what is still offered, and the token; None for none.

    From the headers, since some servers give the scope a whole field as one subprotocol.
    """
    fields = [value for name, value in headers if name.lower() == _HEADER]
    offered = [entry.decode("ascii") for part in _parts(b",".join(fields), b",") if (entry := part.strip(b" \t"))]
    if marker not in offered:
        return list(headers), offered, None
    place = offered.index(marker)
    if offered.count(marker) > 1 or place + 1 == len(offered):
        raise AmbiguousCredentials(f"{offered.count(marker)} times {marker}, each with a token after it")
    token = offered[place + 1].encode()
    del offered[place : place + 2]
    rest = [(name, value) for name, value in headers if name.lower() != _HEADER]
    if offered:
        rest.append((_HEADER, ", ".join(offered).encode()))
    return rest, offered, token


def _parts(text: bytes, separator: bytes) -> list[bytes]:
    if text.count(separator) >= _MOST:
        raise AmbiguousCredentials(f"more than {_MOST} parts")
    return text.split(separator)


def _answering(marker: str, send: Send) -> Send:
    """Chromium drops a connection whose offer of subprotocols got no answer: the marker is one, never the token."""

    def accept(message: Message) -> Awaitable[None]:
        if message["type"] == "websocket.accept" and message.get("subprotocol") is None:
            message = {**message, "subprotocol": marker}
        return send(message)

    return accept
