"""Refresh tokens: rotated at each use, and a table that says what each use means.

The successor of a token is an HMAC of it under the authority's secret, so that a repeat gives the same successor on
any replica and nothing needs to be remembered between them.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.clients.registry import hash_secret
from watchword.authority.schema import refresh_tokens
from watchword.core.encoding import b64url_encode


class State(Enum):
    """What has become of a refresh token."""

    LIVE = auto()
    """Never used."""
    SPENT = auto()
    """Used, its successor was not: the answer may have been lost."""
    FOLLOWED = auto()
    """Used, and so was its successor."""


class Outcome(Enum):
    """What a use leads to."""

    ROTATE = auto()
    """The token is spent now, and its successor lives."""
    REPEAT = auto()
    """The same successor is handed out once more."""
    REUSE = auto()
    """Somebody else has this token: the session ends."""


# State and "is the grace over?" lead to the outcome. Two tabs that refresh at once both get the one successor.
OUTCOMES: Final = {
    (State.LIVE, False): Outcome.ROTATE,
    (State.LIVE, True): Outcome.ROTATE,
    (State.SPENT, False): Outcome.REPEAT,
    (State.SPENT, True): Outcome.REPEAT,
    (State.FOLLOWED, False): Outcome.REPEAT,
    (State.FOLLOWED, True): Outcome.REUSE,
}


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token's row and its state."""

    hash: str
    session: str
    created_at: float
    spent_at: float | None
    state: State

    def outcome(self, now: float, grace: float) -> Outcome:
        """What a use at this moment (database clock, seconds since 1970) leads to."""
        over = self.spent_at is not None and now >= self.spent_at + grace
        return OUTCOMES[self.state, over]


def successor(token: str, key: bytes) -> str:
    """The one token that follows this one."""
    return "wwr_" + b64url_encode(hmac.digest(key, b"refresh\0" + token.encode(errors="replace"), hashlib.sha256))


async def read_refresh_token(connection: AsyncConnection, token: str) -> RefreshToken | None:
    """The row of a token, in the connection's snapshot; None for one that was never handed out."""
    here, after = refresh_tokens, refresh_tokens.alias("after")
    query = (
        select(here, after.c.spent_at.label("followed_at"))
        .select_from(here.outerjoin(after, after.c.hash == here.c.successor))
        .where(here.c.hash == hash_secret(token))
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    followed = State.FOLLOWED if row["followed_at"] is not None else State.SPENT
    state = State.LIVE if row["spent_at"] is None else followed
    return RefreshToken(row["hash"], row["session"], row["created_at"], row["spent_at"], state)


async def rotate(connection: AsyncConnection, token: RefreshToken, following: str, now: float) -> None:
    """Spend a live token and write its successor."""
    spent = update(refresh_tokens).where(refresh_tokens.c.hash == token.hash)
    await connection.execute(spent.values(spent_at=now, successor=hash_secret(following)))
    await connection.execute(
        insert(refresh_tokens).values(hash=hash_secret(following), session=token.session, created_at=now)
    )
