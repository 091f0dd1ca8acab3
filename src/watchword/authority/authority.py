"""The authority as one object: its database, keys, log and its own guard."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Self, final

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.passwords import PasswordHasher
from watchword.authority.bootstrap import FirstAdministrator, Seeds, checked, is_new, named, prepare
from watchword.authority.database import Database
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.vault import open_vault
from watchword.authority.log.followers import Followers
from watchword.authority.log.held import Held
from watchword.authority.log.reader import LogReader
from watchword.authority.log.revoker import Revoker
from watchword.authority.log.source import DatabaseSource
from watchword.authority.settings import Settings
from watchword.authority.signing import Signing
from watchword.guard.guard import Guard


@final
class Authority:
    """Everything that endpoints need. Made by `open`; closed by `close`."""

    def __init__(self, settings: Settings, database: Database, keyring: Keyring, seeds: Seeds) -> None:
        self.settings = settings
        self.database = database
        self.keyring = keyring
        self.refresh_key = seeds.refresh_key
        self.hasher = PasswordHasher(settings)
        self.signing = Signing()
        self.reader = LogReader(database, settings.issuer, seeds.cursor_key, lossless=settings.lossless_failover)
        self.held = Held(self.reader)
        self.revoker = Revoker(self.changing)
        self.followers = Followers(database, self.reader)
        self.source = DatabaseSource(self.reader)
        # The authority's own API takes only tokens whose audience is the issuer itself.
        self.guard = Guard(
            settings.issuer,
            audience=settings.issuer,
            source=self.source,
            max_lifetime=timedelta(seconds=settings.max_lifetime),
        )
        self.first_administrator: FirstAdministrator | None = None

    @classmethod
    async def open(cls, settings: Settings, *, may_rename: bool = False) -> Self:
        """Open the database, making and filling it where it is new, and begin to follow the log.

        ``may_rename`` lets the settings give it another issuer than the one that it was served under.
        ``first_administrator`` is set where this was the first start. Raises `SettingsError` or `Unavailable`.
        """
        database = Database(settings.database, direct=settings.database_direct)
        try:
            await checked(database)
            await database.migrate()
            vault = open_vault(settings, new=await is_new(database))
            keyring = Keyring(settings, vault)
            settings = await named(database, settings, may_rename=may_rename)
            seeds, first = await prepare(database, settings, vault, keyring)
        except BaseException:
            await database.dispose()
            raise
        authority = cls(settings, database, keyring, seeds)
        authority.first_administrator = first
        authority.reader.start()
        authority.followers.start()
        await authority.source.follow()
        return authority

    @asynccontextmanager
    async def changing(self, *, alone: bool = False) -> AsyncIterator[AsyncConnection]:
        """A writing transaction that may move the log; guards are told, and our own knows, once it is committed."""
        async with self.database.writing(alone=alone) as connection:
            yield connection
        await self.noticed()

    def administering(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """`changing`, for what is checked before it is changed: no other administrator's change runs beside it."""
        return self.changing(alone=True)

    async def noticed(self) -> None:
        """The log has moved: tell the guards, and know it ourselves."""
        self.reader.wake()
        await self.source.catch_up()

    async def close(self) -> None:
        """Answer all who wait, stop following and close the database."""
        await self.reader.stop()
        await self.followers.stop()
        await self.source.unfollow()
        self.hasher.close()
        self.signing.close()
        await self.database.dispose()
