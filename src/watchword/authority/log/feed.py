"""The feed's endpoint: a long poll, as a bare ASGI application.

It answers at once when there is something after the follower's cursor, else after a hold with an empty page. Each
answer rests on a database read that began after its request came, also when a hold ends empty.
"""

import asyncio
from typing import Annotated, Final, final

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Grant, prove_client
from watchword.authority.http import JSON, NO_STORE, Body, basic_credentials, refuse, single_query
from watchword.authority.log.reader import Read
from watchword.errors import InvalidClient, Refused

MAX_HOLD: Final = 25.0
"""The longest that an answer is held, in seconds: less than the idle time-outs of common proxies."""


class FeedQuery(Body, frozen=True):
    """What a follower asks: where it is, how long to hold the answer, and how old it lets its knowledge become."""

    after: str = ""
    hold: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    nonce: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,128}$(?!\n)")] = ""
    stale: Annotated[float, Meta(ge=0, le=86400)] = 0.0


@final
class Feed:
    """GET /revocations: what came after the follower's cursor."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one follower; nothing but a page or a refusal leaves here."""
        request = Request(scope, receive)
        try:
            query = single_query(request, FeedQuery)
            await self._check_follower(request)
            read = await self._read(query)
        except Refused as refusal:
            await refuse(refusal, realm=self._authority.settings.issuer)(scope, receive, send)
            return
        headers = NO_STORE | {"Watchword-Nonce": query.nonce}
        await Response(read.body, headers=headers, media_type=JSON)(scope, receive, send)

    async def _read(self, query: FeedQuery) -> Read:
        reader = self._authority.reader
        after = reader.cursor(query.after) if query.after else None
        end = asyncio.get_running_loop().time() + min(query.hold, MAX_HOLD)
        while True:
            move = reader.next_move
            read = await reader.read(after)
            left = end - asyncio.get_running_loop().time()
            if read.page.after is None or read.page.entries or left <= 0 or reader.closing:
                return read
            await reader.wait(move, left)

    async def _check_follower(self, request: Request) -> None:
        credentials = basic_credentials(request)
        if credentials is None:
            if self._authority.settings.open_feed:
                return
            raise InvalidClient("the feed wants a client's credentials")
        async with self._authority.database.reading() as connection:
            client = await prove_client(connection, credentials)
        client.check_grant(Grant.FEED)
