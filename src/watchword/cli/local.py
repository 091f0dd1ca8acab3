"""The authority of this machine, opened for one command."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.settings import Settings
from watchword.cli.failures import failed


@contextmanager
def opened(runner: asyncio.Runner, settings: Settings, *, new: bool = False) -> Iterator[Authority]:
    """The authority on the settings' database.

    Without ``new`` a database that is not there is a failure: a command that mistook the path would make another
    authority, and its user would look for what is lost in it.
    """
    if not new and not runner.run(exists(settings)):
        hint = "start `watchword serve` or run `watchword init` to make one, or name another by --database"
        raise failed("no_database", f"There is no database at {settings.database_name}.", hint=hint)
    authority = runner.run(Authority.open(settings))
    try:
        yield authority
    finally:
        runner.run(authority.close())


async def exists(settings: Settings) -> bool:
    """Whether the settings' database is there; makes nothing."""
    database = Database(settings.database, direct=settings.database_direct)
    try:
        return await database.exists()
    finally:
        await database.dispose()
