"""Data tokens: the authority signs a client's data for one other service."""

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Grant, read_client
from watchword.authority.http import Body, Call
from watchword.authority.log.head import read_head
from watchword.core.issuer import Issuer
from watchword.errors import InvalidField, NotPermitted, UnauthorizedClient


class DataRequest(Body, frozen=True):
    """The data to sign, at most 4 KiB of JSON, and the service that it is for."""

    audience: str
    data: dict[str, Any]


class DataToken(msgspec.Struct, frozen=True):
    """A signed data token. ``expires_in`` is in seconds."""

    data_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"DataToken(expires_in={self.expires_in})"


async def sign_data(authority: Authority, call: Call[DataRequest]) -> DataToken:
    """Sign this client's data for one other service, which verifies it with ``guard.data``."""
    caller = call.caller
    if caller.client is None or caller.subject != caller.client:
        raise NotPermitted("only a client's own token may sign data", missing=["a client's own token"])
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        client = await read_client(connection, caller.client)
        key = await authority.keyring.current(connection)
    if client is None or client.disabled:
        raise UnauthorizedClient("the client is gone")
    client.check_grant(Grant.DATA)
    lifetime = min(authority.settings.data_lifetime, at.lifetime)
    try:
        minted = partial(
            Issuer(authority.settings.issuer, key).mint_data,
            client=client.id,
            audience=client.audience(call.input.audience),
            data=call.input.data,
            position=caller.position,  # the credential is the caller's own token, and was read there
            lifetime=timedelta(seconds=lifetime),
            issued_at=at.now,
        )
        token = await authority.signing.sign(key, minted)
    except ValueError as why:
        raise InvalidField(str(why), field="data", reason=str(why)) from None
    return DataToken(token, lifetime)
