"""The operator on the machine: whoever can read the database and its secret may administer the authority."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from watchword.authority.accounts.directory import ADMINISTRATOR, find_user
from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.bootstrap import OWN_CLIENT
from watchword.authority.clients.registry import read_client
from watchword.authority.log.head import new_id, read_head
from watchword.authority.schema import audiences
from watchword.core.issuer import Issuer
from watchword.errors import InvalidField

OPERATOR: Final = "operator"
"""The subject of the operator's tokens, and the actor in the audit log. No user has this id."""
_LIFETIME: Final = timedelta(seconds=60)


async def operator_token(authority: Authority) -> str:
    """A short-lived administrator's token for this process's own use."""
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        key = await authority.keyring.current(connection)
    settings = authority.settings
    return Issuer(settings.issuer, key).mint(
        subject=OPERATOR,
        audience=settings.issuer,
        client=OWN_CLIENT,
        roles=[ADMINISTRATOR],
        position=at.position,
        lifetime=_LIFETIME,
        issued_at=at.now,
    )


async def mint_as_operator(
    authority: Authority,
    *,
    username: str | None,
    client: str | None,
    audience: str,
    scopes: Iterable[str] = (),
    lifetime: int | None = None,
) -> str:
    """An access token for a user, a client, or a user at a client, for tests; ``lifetime`` is in seconds.

    It has no session, and dies by every other cutoff as any token does. `InvalidField` for what is not there or may
    have no token: a token that is minted after its user was disabled would be cut off by nothing.
    """
    settings = authority.settings
    async with authority.database.writing() as connection:
        at = await read_head(connection)
        user = None if username is None else await find_user(connection, username)
        if username is not None and (user is None or user.disabled):
            raise _unfit("user", "there is no such user, or it is disabled")
        asker = await read_client(connection, client or OWN_CLIENT)
        if asker is None or asker.disabled:
            raise _unfit("client", "there is no such client, or it is disabled")
        if (await connection.execute(select(audiences.c.name).where(audiences.c.name == audience))).first() is None:
            raise _unfit("audience", "there is no such audience")
        longest = min(settings.max_lifetime, at.lifetime)
        if lifetime is not None and lifetime > longest:
            raise _unfit("lifetime", f"no token lives longer than {longest} seconds")
        claims = {name: value for name, value in user.claims.items() if name in settings.claims} if user else {}
        token_id = new_id()
        try:
            token = Issuer(settings.issuer, await authority.keyring.current(connection), claims=settings.claims).mint(
                subject=user.id if user else asker.id,
                audience=audience,
                client=asker.id,
                roles=user.roles if user else asker.roles,
                scope=scopes,
                position=at.position,
                claims=claims,
                lifetime=timedelta(seconds=lifetime or min(settings.access_lifetime, longest)),
                issued_at=at.now,
                token_id=token_id,
            )
        except ValueError as why:
            raise _unfit("scope", str(why)) from None
        target, detail = user.id if user else asker.id, f"token {token_id} for {audience}"
        await record(connection, "mint_token", actor=OPERATOR, target=target, detail=detail)
    return token


def _unfit(field: str, reason: str) -> InvalidField:
    return InvalidField(f"{field}: {reason}", field=field, reason=reason)
