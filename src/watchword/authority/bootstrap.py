"""The first start: a log, keys, the authority's own audience and client, and the first administrator."""

import os
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import ADMINISTRATOR, new_user_id
from watchword.authority.accounts.passwords import PasswordHasher, one_time_password
from watchword.authority.audit.record import record
from watchword.authority.clients.registry import Grant
from watchword.authority.database import Database, Now, clock
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.vault import Vault
from watchword.authority.log.head import begin_log
from watchword.authority.schema import (
    audiences,
    client_audiences,
    clients,
    head,
    roles,
    secrets,
    sessions,
    user_roles,
    users,
)
from watchword.authority.settings import Settings, SettingsError

FIRST_NAME: Final = "admin"
OWN_CLIENT: Final = "watchword"
"""The public client of the command line and the console: it signs administrators in to the authority itself."""


class FirstAdministrator(NamedTuple):
    """Whom the first start made. The password is shown once and must be changed at the first sign-in."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"FirstAdministrator(name={self.name!r})"


class Seeds(NamedTuple):
    """The secrets of one database, kept wrapped in it: what cursors and refresh tokens are made with."""

    cursor_key: bytes
    refresh_key: bytes

    def __repr__(self) -> str:
        return "Seeds(…)"


async def prepare(
    database: Database, settings: Settings, vault: Vault, keyring: Keyring
) -> tuple[Seeds, FirstAdministrator | None]:
    """Fill a new database, or check and complete one that is there; the first administrator where one was made."""
    first: FirstAdministrator | None = None
    if await is_new(database):
        password = one_time_password()
        hasher = PasswordHasher(settings)
        hashed = await hasher.hash(password)
        hasher.close()
        fresh = [await keyring.generate(), await keyring.generate()]
        async with database.writing(alone=True) as connection:
            if not (await connection.execute(select(func.count()).select_from(head))).scalar_one():
                now = await clock(connection)
                await begin_log(connection, settings.issuer, settings.max_lifetime)
                await _make_seeds(connection, vault)
                for key, state in zip(fresh, ("current", "next"), strict=True):
                    await keyring.add(connection, key, state, now)
                await _make_administrator(connection, hashed, now)
                first = FirstAdministrator(FIRST_NAME, password)
    async with database.writing(alone=True) as connection:
        await _allow_lifetime(connection, settings.max_lifetime)
        await _settle_issuer(connection, settings.issuer)
        await _make_own_client(connection, settings.issuer)
        return await _read_seeds(connection, vault), first


async def checked(database: Database) -> None:
    """`SettingsError` for a database server that might lose what it has acknowledged."""
    try:
        await database.check()
    except ValueError as why:
        raise SettingsError(str(why)) from None


async def is_new(database: Database) -> bool:
    """Whether nothing is kept there yet."""
    async with database.reading() as connection:
        return not (await connection.execute(select(func.count()).select_from(head))).scalar_one()


async def _make_seeds(connection: AsyncConnection, vault: Vault) -> None:
    for name in Seeds._fields:
        await connection.execute(insert(secrets).values(name=name, wrapped=vault.wrap(os.urandom(32), name)))


async def _read_seeds(connection: AsyncConnection, vault: Vault) -> Seeds:
    rows = (await connection.execute(select(secrets.c.name, secrets.c.wrapped))).all()
    return Seeds(**{name: vault.unwrap(wrapped, name) for name, wrapped in rows})


async def _make_administrator(connection: AsyncConnection, hashed: str, now: float) -> None:
    identifier = new_user_id()
    await connection.execute(insert(roles).values(name=ADMINISTRATOR, description="administers the authority itself"))
    await connection.execute(
        insert(users).values(id=identifier, name=FIRST_NAME, password_hash=hashed, must_change=1, created_at=now)
    )
    await connection.execute(insert(user_roles).values(user=identifier, role=ADMINISTRATOR))
    await record(connection, "first_start", actor="operator", target=identifier)


async def _allow_lifetime(connection: AsyncConnection, longest: int) -> None:
    """Raise the longest lifetime in force. It is never lowered while tokens of the old one may live: that only costs
    a floor that rises later.
    """
    await connection.execute(update(head).where(head.c.lifetime < longest).values(lifetime=longest))


async def named(database: Database, settings: Settings, *, may_rename: bool) -> Settings:
    """The settings with the issuer that is meant where they leave it open; `SettingsError` if it is another."""
    async with database.reading() as connection:
        served = (await connection.execute(select(head.c.issuer))).scalar_one_or_none()
    if settings.issuer:
        if served not in (None, settings.issuer) and not may_rename:
            raise SettingsError(f"issuer: the database is that of {served}; only `watchword serve` can change it")
        return settings
    return msgspec.structs.replace(settings, issuer=served or f"http://127.0.0.1:{settings.port}")


async def _settle_issuer(connection: AsyncConnection, issuer: str) -> None:
    """The authority is an audience under its issuer's name; where that name is new, who named the old one follows."""
    before = (await connection.execute(select(head.c.issuer))).scalar_one()
    if (await connection.execute(select(audiences.c.name).where(audiences.c.name == issuer))).first() is None:
        await connection.execute(insert(audiences).values(name=issuer, created_at=Now()))
    if before == issuer:
        return
    await connection.execute(update(head).values(issuer=issuer))
    already = select(client_audiences.c.client).where(client_audiences.c.audience == issuer)
    follows = client_audiences.c.audience == before, client_audiences.c.client.not_in(already)
    await connection.execute(update(client_audiences).where(*follows).values(audience=issuer))
    await connection.execute(delete(client_audiences).where(client_audiences.c.audience == before))
    await connection.execute(update(sessions).where(sessions.c.audience == before).values(audience=issuer))
    await connection.execute(delete(audiences).where(audiences.c.name == before))
    await record(connection, "change_issuer", actor="operator", target=issuer, detail=f"from {before}")


async def _make_own_client(connection: AsyncConnection, issuer: str) -> None:
    """The client of our own command line, which may name the authority."""
    if (await connection.execute(select(clients.c.id).where(clients.c.id == OWN_CLIENT))).first() is None:
        own = {"id": OWN_CLIENT, "name": "Watchword's own command line", "grants": Grant.LOGIN.value}
        await connection.execute(insert(clients).values(**own, created_at=Now()))
    named = select(client_audiences).where(
        client_audiences.c.client == OWN_CLIENT, client_audiences.c.audience == issuer
    )
    if (await connection.execute(named)).first() is None:
        await connection.execute(insert(client_audiences).values(client=OWN_CLIENT, audience=issuer))
