"""The signing keys in the database: next, current, retiring, withdrawn.

Every mint asks, in its own snapshot, which key is current; only the unwrapped private key is kept in memory. So a key
that was withdrawn a moment ago, by this process or another, signs nothing more.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, final

from sqlalchemy import insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared
from watchword.authority.keys.vault import Vault, open_vault
from watchword.authority.schema import keys, secrets
from watchword.authority.settings import Settings, SettingsError
from watchword.core.feed import PageKey
from watchword.core.keys import Key
from watchword.errors import Unavailable

SIGNING: Final = tuple(
    column.label(f"signing_{column.name}") for column in (keys.c.kid, keys.c.algorithm, keys.c.wrapped)
)
"""The columns that a `Keyring` makes the signing key of."""
SIGNS: Final = keys.c.state == literal_column("'current'")
"""Which one signs. No parameter: SQLite plans anew for each value that may decide whether a partial index will do."""
_READ: Final = Prepared(select(*SIGNING).where(SIGNS))


@final
class Keyring:
    """Unwraps and remembers private keys; makes new ones off the event loop."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._settings = settings
        self._vault = vault
        self._unwrapped: Key | None = None

    async def current(self, connection: AsyncConnection) -> Key:
        """The key that signs, as of the connection's snapshot."""
        return self.key_of(await _READ.row(connection))

    def key_of(self, row: Row) -> Key:
        """The key that signs, from a row with the columns of `SIGNING`."""
        if self._unwrapped is None or self._unwrapped.kid != row["signing_kid"]:
            wrapped = row["signing_wrapped"]
            pem = self._opening(wrapped, self._vault.opens).unwrap(wrapped, _label(row["signing_kid"]))
            self._unwrapped = Key.from_pem(pem, row["signing_algorithm"])
        return self._unwrapped

    async def generate(self) -> Key:
        """A new key of the configured algorithm; a second of work for RSA, so it is done in a thread."""
        return await asyncio.to_thread(Key.generate, self._settings.algorithm)

    async def add(self, connection: AsyncConnection, key: Key, state: str, now: float) -> None:
        """Store a key, wrapped."""
        # The secret that the database stands under now, not the one from before somebody's `secret rotate`.
        seed = (await connection.execute(select(secrets.c.wrapped).limit(1))).scalar_one()
        vault = self._opening(seed, self._vault.fits)
        await connection.execute(
            insert(keys).values(
                kid=key.kid,
                algorithm=key.algorithm,
                state=state,
                jwk=json.dumps(key.public.to_jwk()),
                wrapped=vault.wrap(key.to_pem().encode(), _label(key.kid)),
                created_at=now,
                changed_at=now,
            )
        )

    async def rewrap(self, connection: AsyncConnection, vault: Vault) -> int:
        """Wrap every private key anew under another vault's newest secret; how many there were."""
        rows = (await connection.execute(select(keys).where(keys.c.wrapped.is_not(None)))).mappings().all()
        for row in rows:
            label = _label(row["kid"])
            wrapped = vault.wrap(vault.unwrap(row["wrapped"], label), label)
            await connection.execute(update(keys).where(keys.c.kid == row["kid"]).values(wrapped=wrapped))
        self._vault = vault
        return len(rows)

    def _opening(self, wrapped: bytes, fit: Callable[[bytes], bool]) -> Vault:
        """The vault if it is fit for what is wrapped so; else the one of the secret's file as it is by now."""
        if fit(wrapped):
            return self._vault
        try:
            vault = open_vault(self._settings)
        except SettingsError as why:
            raise Unavailable(str(why)) from None
        if not vault.opens(wrapped):
            raise Unavailable("the database is wrapped under another secret: start again with that one")
        self._vault = vault
        return vault


async def page_keys(connection: AsyncConnection, floor: int) -> list[PageKey]:
    """All keys as the feed tells them; withdrawn ones by name, until every token that they signed has expired."""
    query = select(keys.c.kid, keys.c.state, keys.c.jwk, keys.c.withdrawn).order_by(keys.c.created_at, keys.c.kid)
    members = []
    for row in (await connection.execute(query)).mappings():
        if row["state"] != "withdrawn":
            members.append(PageKey(row["kid"], row["state"], json.loads(row["jwk"])))
        elif row["withdrawn"] > floor:
            members.append(PageKey(row["kid"], "withdrawn", None))
    return members


async def published_jwks(connection: AsyncConnection) -> dict[str, list[dict[str, Any]]]:
    """The JWK Set of every key that verifies (RFC 7517 section 5)."""
    query = select(keys.c.jwk).where(keys.c.state != "withdrawn").order_by(keys.c.created_at, keys.c.kid)
    return {"keys": [json.loads(text) for text in (await connection.execute(query)).scalars()]}


def _label(kid: str) -> str:
    return f"signing key {kid}"
