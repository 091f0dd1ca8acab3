"""The token endpoint (RFC 6749): refresh tokens and client credentials."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import read_user
from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Client, Grant, prove_client
from watchword.authority.database import is_shared
from watchword.authority.http import Call, Form
from watchword.authority.log.cut import cut_session
from watchword.authority.log.head import Head, read_head
from watchword.authority.mint import Tokens, mint_for_client, mint_for_user
from watchword.authority.schema import sessions
from watchword.authority.sessions.refresh import Outcome, RefreshToken, read_refresh_token, rotate, successor
from watchword.authority.sessions.sessions import Session, read_session, ruling
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


async def _client_credentials(authority: Authority, call: Call[TokenRequest]) -> Tokens:
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        client = await prove_client(connection, call.client_credentials())
        key = await authority.keyring.current(connection)
    client.check_grant(Grant.CLIENT_CREDENTIALS)
    audience, scopes = client.audience(call.input.audience), client.scope(call.input.scope)
    return mint_for_client(authority.settings, key, at, client=client, audience=audience, scopes=scopes)


async def _refresh(authority: Authority, call: Call[TokenRequest]) -> Tokens:
    presented = call.input.refresh_token
    if presented is None:
        raise InvalidRequest("refresh_token is missing", field="refresh_token")
    async with authority.database.writing() as connection:
        at = await read_head(connection)
        client = await prove_client(connection, call.client_credentials())
        client.check_grant(Grant.LOGIN)
        refresh, session = await _presented(connection, presented, client)
        user = await read_user(connection, session.user)
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
            key = await authority.keyring.current(connection)
            if outcome is Outcome.ROTATE:
                await rotate(connection, refresh, following, at.now)
            await _used(connection, session, at, call.address)
    if outcome is Outcome.REUSE:
        await authority.noticed()
        raise RefreshReused(f"session {session.id}")
    return mint_for_user(
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


_GRANTS: Final[Mapping[str, Callable[[Authority, Call[TokenRequest]], Awaitable[Tokens]]]] = MappingProxyType(
    {"refresh_token": _refresh, "client_credentials": _client_credentials}
)
GRANT_TYPES: Final = tuple(_GRANTS)


async def _presented(connection: AsyncConnection, presented: str, client: Client) -> tuple[RefreshToken, Session]:
    """The token and its session, as they are once nobody else can use either; `InvalidGrant` for none."""
    found = await read_refresh_token(connection, presented)
    session = await read_session(connection, found.session, lock=True) if found else None
    # Whoever held the session until now may have used the token: what counts is what it is under the lock.
    refresh = await read_refresh_token(connection, presented) if is_shared(connection) else found
    if refresh is None or session is None or session.client != client.id:
        raise InvalidGrant("unknown, or another client's")
    return refresh, session


def _over(authority: Authority, refresh: RefreshToken, session: Session, now: float) -> bool:
    idle, whole = authority.settings.refresh_days * _DAY, authority.settings.session_days * _DAY
    return now >= refresh.created_at + idle or now >= session.created_at + whole


async def _used(connection: AsyncConnection, session: Session, at: Head, address: str) -> None:
    row = update(sessions).where(sessions.c.id == session.id)
    await connection.execute(row.values(used_at=at.now, address=address))


async def _reused(connection: AsyncConnection, session: Session, address: str) -> None:
    await cut_session(connection, session.id)
    await record(
        connection, "refresh", actor=session.user, target=session.id, outcome="refresh_reused", address=address
    )
