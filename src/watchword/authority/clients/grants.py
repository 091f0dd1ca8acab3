"""The token endpoint (RFC 6749): refresh tokens and client credentials."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import USER, user_of
from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import CLIENT, Grant, client_of, hash_secret, proven
from watchword.authority.engines.prepared import Prepared, slot
from watchword.authority.http import Call, Form
from watchword.authority.keys.keyring import SIGNING, SIGNS
from watchword.authority.log.cut import cut_session
from watchword.authority.log.head import HEAD, head_of
from watchword.authority.mint import Tokens, mint_for_client, mint_for_user
from watchword.authority.schema import clients, head, keys, refresh_tokens, sessions, users
from watchword.authority.sessions.refresh import (
    REFRESH,
    Outcome,
    RefreshToken,
    lock_family,
    refresh_token_of,
    repeat,
    rotate,
    successor,
    with_presented,
)
from watchword.authority.sessions.sessions import SESSION, Session, ruling, session_of
from watchword.errors import InvalidGrant, InvalidRequest, RefreshReused, UnsupportedGrantType

_DAY: Final = 86400.0


class TokenRequest(Form, frozen=True):
    """A request of RFC 6749 section 4.4 or 6, for one audience."""

    grant_type: str | None = None
    refresh_token: str | None = None
    audience: str | None = None
    scope: str | None = None

    def __repr__(self) -> str:
        return f"TokenRequest(grant_type={self.grant_type!r})"


async def token(authority: Authority, call: Call[TokenRequest]) -> Tokens:
    """Trade a refresh token, or a client's own credentials, for an access token."""
    if call.input.grant_type is None:
        raise InvalidRequest("grant_type is missing", field="grant_type")
    grant = _GRANTS.get(call.input.grant_type)
    if grant is None:
        raise UnsupportedGrantType("the grant_type is not known")
    return await grant(authority, call)


_base: Final = head.outerjoin(clients, clients.c.id == slot("client")).outerjoin(keys, SIGNS)
_OWN: Final = Prepared(select(*HEAD, *CLIENT, *SIGNING).select_from(_base))
"""All that a client's own token speaks of, in one snapshot."""
_USERS: Final = Prepared(
    select(*HEAD, *CLIENT, *SIGNING, *REFRESH, *SESSION, *USER).select_from(
        with_presented(_base)
        .outerjoin(sessions, sessions.c.id == refresh_tokens.c.session)
        .outerjoin(users, users.c.id == sessions.c.user)
    )
)
"""All that a refreshed token speaks of, in one snapshot."""


async def _client_credentials(authority: Authority, call: Call[TokenRequest]) -> Tokens:
    identifier, secret = call.client_credentials()
    (row,) = await authority.database.fetch(_OWN, client=identifier)
    at, client = head_of(row), proven(client_of(row), secret)
    client.check_grant(Grant.CLIENT_CREDENTIALS)
    audience, scopes = client.audience(call.input.audience), client.scope(call.input.scope)
    key = authority.keyring.key_of(row)
    minted = partial(mint_for_client, authority.settings, key, at, client=client, audience=audience, scopes=scopes)
    return await authority.signing.sign(key, minted)


async def _refresh(authority: Authority, call: Call[TokenRequest]) -> Tokens:
    presented = call.input.refresh_token
    if presented is None:
        raise InvalidRequest("refresh_token is missing", field="refresh_token")
    identifier, secret = call.client_credentials()
    async with authority.database.writing() as connection:
        await lock_family(connection, presented)
        row = await _USERS.row(connection, client=identifier, presented=hash_secret(presented))
        at, client = head_of(row), proven(client_of(row), secret)
        client.check_grant(Grant.LOGIN)
        refresh, session, user = refresh_token_of(row), session_of(row), user_of(row)
        if refresh is None or session is None or session.client != client.id:
            raise InvalidGrant("unknown, or another client's")
        if user is None or _over(authority, refresh, session, at.now):
            raise InvalidGrant("expired")
        why = ruling(session.position, at, user, client, session)
        if why is not None:
            raise InvalidGrant(f"the session is over: {why}", reason=why)
        following = successor(presented, authority.refresh_key)
        outcome = refresh.outcome(at.now, authority.settings.refresh_grace)
        if outcome is Outcome.REUSE:
            await _reused(connection, session, call.address)
        else:
            # What the request gets wrong must cost nothing, so it is looked at before the token is spent.
            audience = client.audience(call.input.audience, session.audience)
            scopes = client.scope(call.input.scope, session.scopes)
            key = authority.keyring.key_of(row)
            minted = partial(
                mint_for_user,
                authority.settings,
                key,
                at,
                user=user,
                client=client,
                audience=audience,
                scopes=scopes,
                session=session.id,
                refresh_token=following,
            )
            signed = authority.signing.sign(key, minted)  # while we write; nobody has it before that is on the disk
            if outcome is Outcome.ROTATE:
                await rotate(connection, refresh, following, at.now, call.address)
            else:
                await repeat(connection, refresh, at.now, call.address)
    if outcome is Outcome.REUSE:
        await authority.noticed()
        raise RefreshReused(f"session {session.id}")
    return await signed


_GRANTS: Final[Mapping[str, Callable[[Authority, Call[TokenRequest]], Awaitable[Tokens]]]] = MappingProxyType(
    {"refresh_token": _refresh, "client_credentials": _client_credentials}
)
GRANT_TYPES: Final = tuple(_GRANTS)


def _over(authority: Authority, refresh: RefreshToken, session: Session, now: float) -> bool:
    idle, whole = authority.settings.refresh_days * _DAY, authority.settings.session_days * _DAY
    return now >= refresh.created_at + idle or now >= session.created_at + whole


async def _reused(connection: AsyncConnection, session: Session, address: str) -> None:
    await cut_session(connection, session.id)
    await record(
        connection, "refresh", actor=session.user, target=session.id, outcome="refresh_reused", address=address
    )
