"""Revocation by whoever holds the token (RFC 7009)."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Client, prove_client
from watchword.authority.http import Call, Form
from watchword.authority.log.cut import is_cut
from watchword.authority.log.head import read_head
from watchword.authority.log.revoker import Wanted
from watchword.authority.sessions.refresh import read_refresh_token
from watchword.authority.sessions.sessions import read_session
from watchword.core.compact import read_unverified
from watchword.core.cutoffs import Scope
from watchword.core.verifier import MAX_LEEWAY, Verifier
from watchword.errors import InvalidRequest, Refused, WrongType


class RevokeRequest(Form, frozen=True):
    """The token that shall die; the hint is accepted and not needed."""

    token: str | None = None
    token_type_hint: str | None = None

    def __repr__(self) -> str:
        return "RevokeRequest(…)"


async def revoke_token(authority: Authority, call: Call[RevokeRequest]) -> dict[str, bool]:
    """Revoke an access token by its id, or a refresh token with its whole session.

    A token that is unknown or another client's is answered alike (RFC 7009 section 2.2): it is good for nothing here.
    """
    if call.input.token is None:
        raise InvalidRequest("token is missing", field="token")
    async with authority.database.reading() as connection:
        client = await prove_client(connection, call.client_credentials())
        target = await _target(authority, connection, client, call.input.token)
    if target is not None:
        await authority.revoker.revoke(Wanted(*target, actor=client.id, address=call.address))
    return {}


async def _target(
    authority: Authority, connection: AsyncConnection, client: Client, token: str
) -> tuple[Scope, str] | None:
    """What the token stands for, if it is this client's and is not cut off already."""
    refresh = await read_refresh_token(connection, token)
    if refresh is not None:
        session = await read_session(connection, refresh.session)
        if session is None or session.client != client.id or session.cutoff:
            return None
        return Scope.SESSION, session.id
    at = await read_head(connection)
    token_id = _own_token(authority, token, client.id, at.lifetime)
    if token_id is None or await is_cut(connection, Scope.TOKEN, token_id):
        return None
    return Scope.TOKEN, token_id


def _own_token(authority: Authority, token: str, client: str, longest: int) -> str | None:
    """The id of a token that this client was given, for whichever of its audiences, if any guard may still take it."""
    known = authority.source.known
    try:
        audience = read_unverified(token)[1].get("aud")
        if known is None or not isinstance(audience, str):
            return None
        verifier = Verifier(
            authority.settings.issuer,
            audience,
            known.knowledge.keys,
            max_lifetime=timedelta(seconds=longest),
            leeway=MAX_LEEWAY,
        )
        try:
            caller = verifier.verify(token)
        except WrongType:
            data = verifier.verify_data(token)
            return data.token_id if data.client == client else None
    except (Refused, ValueError):
        return None
    return caller.token_id if caller.client == client else None
