"""Refresh tokens: rotated at each use, and a table that says what each use means.

The successor of a token is an HMAC of it under the authority's secret, so that a repeat gives the same successor on
any replica and nothing needs to be remembered between them.
"""

import hashlib
import hmac
from enum import Enum, auto
from typing import Final

import msgspec
from sqlalchemy import Float, FromClause, Join, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.clients.registry import hash_secret
from watchword.authority.database import is_shared
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.schema import refresh_tokens, sessions
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


class RefreshToken(msgspec.Struct, frozen=True):
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


_after: Final = refresh_tokens.alias("after")
REFRESH: Final = (*labelled("refresh", refresh_tokens), _after.c.spent_at.label("refresh_followed_at"))
"""The columns that `refresh_token_of` makes a `RefreshToken` of; `with_presented` is where they come from."""
_AFTER: Final = _after, _after.c.hash == refresh_tokens.c.successor
_READ: Final = Prepared(
    select(*REFRESH).select_from(refresh_tokens.outerjoin(*_AFTER)).where(refresh_tokens.c.hash == slot("presented"))
)
_LOCK: Final = Prepared(
    select(sessions.c.id)
    .join(refresh_tokens, refresh_tokens.c.session == sessions.c.id)
    .where(refresh_tokens.c.hash == slot("presented"))
    .with_for_update(key_share=True, of=sessions)
)
_spend: Final = (
    update(refresh_tokens)
    .where(refresh_tokens.c.hash == slot("presented"))
    .values(spent_at=slot("now", Float()), successor=slot("following"))
)
_follow: Final = insert(refresh_tokens).values(
    hash=slot("following"), session=slot("family"), created_at=slot("now", Float())
)
_use: Final = (
    update(sessions).where(sessions.c.id == slot("family")).values(used_at=slot("now", Float()), address=slot("caller"))
)
_SPEND, _FOLLOW, _USE = Prepared(_spend), Prepared(_follow), Prepared(_use)
_ROTATE: Final = Prepared(_follow.add_cte(_spend.cte("spent"), _use.cte("used")))
"""All three at once, for a database that is a way off."""


def with_presented(base: FromClause) -> Join:
    """Where they come from: to other tables, the token that was ``presented`` and its successor, as far as there are.

    One after the other: SQLite would make a table of its own of a join within a join.
    """
    return base.outerjoin(refresh_tokens, refresh_tokens.c.hash == slot("presented")).outerjoin(*_AFTER)


async def read_refresh_token(connection: AsyncConnection, token: str) -> RefreshToken | None:
    """The row of a token, in the connection's snapshot; None for one that was never handed out."""
    row = await _READ.row(connection, presented=hash_secret(token))
    return refresh_token_of(row) if row else None


def refresh_token_of(row: Row) -> RefreshToken | None:
    """The refresh token from a row with its columns; None if there is none in it."""
    if row["refresh_hash"] is None:
        return None
    followed = State.FOLLOWED if row["refresh_followed_at"] is not None else State.SPENT
    state = State.LIVE if row["refresh_spent_at"] is None else followed
    return RefreshToken(
        row["refresh_hash"], row["refresh_session"], row["refresh_created_at"], row["refresh_spent_at"], state
    )


async def lock_family(connection: AsyncConnection, token: str) -> None:
    """Let nobody else use any token of this one's session until the transaction ends."""
    if is_shared(connection):
        await _LOCK.run(connection, presented=hash_secret(token))


async def rotate(connection: AsyncConnection, token: RefreshToken, following: str, now: float, address: str) -> None:
    """Spend a live token and write its successor; its session was used now, from that address."""
    hashed = hash_secret(following)
    if is_shared(connection):
        values = {"presented": token.hash, "following": hashed, "family": token.session}
        await _ROTATE.run(connection, **values, now=now, caller=address)
    else:
        await _SPEND.run(connection, presented=token.hash, now=now, following=hashed)
        await _FOLLOW.run(connection, following=hashed, family=token.session, now=now)
        await repeat(connection, token, now, address)


async def repeat(connection: AsyncConnection, token: RefreshToken, now: float, address: str) -> None:
    """The session of a token was used now, from that address."""
    await _USE.run(connection, family=token.session, now=now, caller=address)
