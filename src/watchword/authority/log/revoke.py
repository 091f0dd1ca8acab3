"""Revocation by whoever holds the token (RFC 7009)."""

from datetime import timedelta

from watchword.authority.audit import record
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import prove_client
from watchword.authority.http import Call, Form
from watchword.authority.log.cut import cut_session, cut_token
from watchword.authority.sessions.refresh import read_refresh_token
from watchword.authority.sessions.sessions import read_session
from watchword.core.tokens import Verifier, read_unverified
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
    async with authority.changing() as connection:
        client = await prove_client(connection, call.client_credentials())
        refresh = await read_refresh_token(connection, call.input.token)
        if refresh is not None:
            session = await read_session(connection, refresh.session)
            if session is not None and session.client == client.id:
                await cut_session(connection, session.id)
                await record(connection, "revoke", actor=client.id, target=session.id, address=call.address)
        elif token_id := _own_token(authority, call.input.token, client.id):
            await cut_token(connection, token_id)
            await record(connection, "revoke", actor=client.id, target=token_id, address=call.address)
    return {}


def _own_token(authority: Authority, token: str, client: str) -> str | None:
    """The id of a living token that this client was given, for whichever of its audiences."""
    known = authority.source.known()
    try:
        audience = read_unverified(token)[1].get("aud")
        if known is None or not isinstance(audience, str):
            return None
        longest = timedelta(seconds=authority.settings.max_lifetime)
        verifier = Verifier(authority.settings.issuer, audience, known.knowledge.keys, max_lifetime=longest)
        try:
            caller = verifier.verify(token)
        except WrongType:
            data = verifier.verify_data(token)
            return data.token_id if data.client == client else None
    except (Refused, ValueError):
        return None
    return caller.token_id if caller.client == client else None
