"""The authority of this machine, opened for one command."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from watchword.authority.authority import Authority
from watchword.authority.settings import Settings
from watchword.cli.failures import failed


@contextmanager
def opened(runner: asyncio.Runner, settings: Settings, *, new: bool = False) -> Iterator[Authority]:
    """The authority on the settings' database.

    Without ``new`` a database that is not there is a failure: a command that mistook the path would make another
    authority, and its user would look for what is lost in it.
    """
    if not new and not settings.database_path.exists():
        hint = "start `watchword serve` or run `watchword init` to make one, or name another by --database"
        raise failed("no_database", f"There is no database at {settings.database_path}.", hint=hint)
    authority = runner.run(Authority.open(settings))
    try:
        yield authority
    finally:
        runner.run(authority.close())
