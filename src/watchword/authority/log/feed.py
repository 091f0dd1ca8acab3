"""The feed's endpoint: a long poll, as a bare ASGI application that stands before the wall and the framework.

It answers at once when there is something after the follower's cursor, else after a hold with an empty page. Each
answer rests on a database read that began after its request came, also when a hold ends empty.
"""

import hashlib
import logging
from typing import Annotated, Final, final

from msgspec import Meta

from watchword.authority.answers import give, refuse
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Grant, prove_client
from watchword.authority.http import Body, basic_credentials, single_query
from watchword.authority.log.head import read_head
from watchword.errors import Bug, InvalidClient, Refused
from watchword.guard.exchange import Receive, Scope, Send

_HEADERS: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_PROVEN: Final = 10_000  # clients whose credentials are remembered
_log: Final = logging.getLogger("watchword.authority")


class FeedQuery(Body, frozen=True):
    """What a follower asks: where it is, how long to hold the answer, and how old it lets its knowledge become.

    ``guard`` is what it calls itself, for the receipts: a process each.
    """

    after: str = ""
    hold: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    nonce: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,128}$(?!\n)")] = ""
    stale: Annotated[float, Meta(ge=0, le=86400)] = 0.0
    guard: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}$(?!\n)")] = ""


@final
class Feed:
    """GET /revocations: what came after the follower's cursor."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._proven: dict[bytes, tuple[str, str, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Answer one follower; nothing but a page or a refusal leaves here."""
        try:
            query = single_query(scope["query_string"], FeedQuery)
            client = await self._follower(scope)
            after = self._authority.reader.cursor(query.after) if query.after else None
            if client is not None and query.guard:
                address = scope["client"][0] if scope.get("client") else ""
                self._authority.followers.hear(client, query.guard, address=address, stale=query.stale, after=after)
            read = await self._authority.held.page(after, query.hold)
        except Refused as refusal:
            await give(refuse(refusal, realm=self._authority.settings.issuer), send)
            return
        except Exception as bug:  # noqa: BLE001 - a mistake of ours: the log has the trace, the answer has nothing
            _log.exception("the feed failed")
            await give(refuse(Bug(type(bug).__name__), realm=""), send)
            return
        length = (b"content-length", b"%d" % len(read.body))
        headers = [*_HEADERS, length, (b"watchword-nonce", query.nonce.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": read.body})

    async def _follower(self, scope: Scope) -> str | None:
        """The client that follows, None for a stranger where the feed is open; `InvalidClient` otherwise."""
        fields = [value for name, value in scope["headers"] if name == b"authorization"]
        proof = hashlib.sha256(b"\n".join(fields)).digest()
        client = self._remembered(proof)
        if client is not None:
            return client
        credentials = basic_credentials(scope)
        if credentials is not None:
            return await self._proven_now(credentials, proof)
        if self._authority.settings.open_feed:
            return None
        raise InvalidClient("the feed wants a client's credentials")

    def _remembered(self, proof: bytes) -> str | None:
        """The client whose credentials were good before, unless anything about it has changed since.

        Whatever takes a client's grant, secret or life away is an entry of the log (`change_client` and its like).
        """
        known = self._authority.source.known
        client, epoch, number = self._proven.get(proof, ("", "", 0))
        if not client or known is None or known.knowledge.epoch != epoch or number < known.knowledge.floor:
            return None
        cut = known.knowledge.cutoffs.applying(client=client, roles=(), subject="", session="", token="")
        return client if all(number >= each.number for each in cut if each.id == client) else None

    async def _proven_now(self, credentials: tuple[str, str], proof: bytes) -> str:
        async with self._authority.database.reading() as connection:
            at = await read_head(connection)
            client = await prove_client(connection, credentials)
        client.check_grant(Grant.FEED)
        if len(self._proven) >= _PROVEN:
            self._proven.clear()
        self._proven[proof] = client.id, at.epoch, at.number
        return client.id
