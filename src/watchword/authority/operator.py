"""The operator on the machine: whoever can read the database and its secret may administer the authority."""

from datetime import timedelta
from typing import Final

from watchword.authority.accounts.directory import ADMINISTRATOR
from watchword.authority.authority import Authority
from watchword.authority.bootstrap import OWN_CLIENT
from watchword.authority.log.head import read_head
from watchword.core.tokens import Issuer

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
