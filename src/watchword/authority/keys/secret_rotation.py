"""Rotation of the secret that wraps what must not lie open: signing keys, and the seeds of cursors and refresh tokens.

Cut off at any point it leaves a secret's file that opens the database, and can be run again.
"""

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.keys.vault import Vault, new_secret, open_vault, read_secrets, write_secrets
from watchword.authority.operator import OPERATOR
from watchword.authority.schema import keys, secrets
from watchword.authority.settings import SettingsError


async def rotate_secret(authority: Authority) -> int:
    """Wrap everything under a new secret; how many things there were.

    In a file the secret is made here. In the environment the operator has made it: everything goes from
    ``WATCHWORD_PREVIOUS_SECRET`` to ``WATCHWORD_SECRET``. `SettingsError` if a secret is missing or cannot be written.
    """
    settings = authority.settings
    if not settings.secret:
        return await _rotate_file(authority)
    if not settings.previous_secret:
        raise SettingsError("previous_secret: give the old secret there, and the new one as secret")
    async with authority.database.writing(alone=True) as connection:
        return await _rewrap(connection, authority, open_vault(settings))


async def _rotate_file(authority: Authority) -> int:
    """Write both secrets, wrap under the new one, then write that alone.

    The file is read and written inside of writing transactions, of which there is one at a time: two rotations side
    by side can never take from one another the secret that the database stands under.
    """
    settings = authority.settings
    async with authority.database.writing(alone=True) as connection:
        texts = [new_secret(), *read_secrets(settings)]
        write_secrets(settings.secret_path, texts)
        count = await _rewrap(connection, authority, Vault(*texts))
    async with authority.database.writing(alone=True) as connection:
        wrapped = await _wrapped(connection)
        needed = [text for text in read_secrets(settings) if any(map(Vault(text).fits, wrapped))]
        write_secrets(settings.secret_path, needed)
    return count


async def _rewrap(connection: AsyncConnection, authority: Authority, vault: Vault) -> int:
    seeds = (await connection.execute(select(secrets.c.name, secrets.c.wrapped))).all()
    for name, wrapped in seeds:
        again = vault.wrap(vault.unwrap(wrapped, name), name)
        await connection.execute(update(secrets).where(secrets.c.name == name).values(wrapped=again))
    count = len(seeds) + await authority.keyring.rewrap(connection, vault)
    await record(connection, "rotate_secret", actor=OPERATOR, detail=f"{count} wrapped anew")
    return count


async def _wrapped(connection: AsyncConnection) -> list[bytes]:
    seeds = (await connection.execute(select(secrets.c.wrapped))).scalars()
    signing = (await connection.execute(select(keys.c.wrapped).where(keys.c.wrapped.is_not(None)))).scalars()
    return [*seeds, *signing]
