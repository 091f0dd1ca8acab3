"""What the authority needs of a database, whichever it is."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared

Connected = AbstractAsyncContextManager[AsyncConnection]
CHANNEL: Final = "watchword"
"""Where a transaction that moves the log tells so, in a database that can tell; there is no payload."""


class Engine(Protocol):
    """A pool of connections to one database, and its kinds of transactions."""

    poll_seconds: float
    """How often the log's head is looked at for changes that nobody told of."""
    failures: tuple[type[Exception], ...]
    """What the driver raises, beside SQLAlchemy's own errors, when the database fails."""

    def reading(self) -> Connected:
        """A transaction that sees one snapshot and changes nothing."""

    async def fetch(self, query: Prepared, values: Mapping[str, object]) -> list[Row]:
        """The rows of one query, from one snapshot."""

    def writing(self, *, alone: bool) -> Connected:
        """A transaction that may write; ``alone``: beside no other such one. Durable once it is left."""

    def migrating(self) -> Connected:
        """A writing transaction in which tables may be changed, alone among all processes, however long it takes."""

    async def exists(self) -> bool:
        """Whether there is a database with our tables; makes nothing."""

    async def check(self) -> None:
        """``ValueError`` for a server that is set up so that what is acknowledged might be lost."""

    async def listen(self, heard: Callable[[], None]) -> None:
        """Call ``heard`` whenever another process moves the log, until cancelled; return where nobody tells."""

    def cannot_hold(self, error: Exception) -> bool:
        """Whether it was not the database that failed, but a value that it can hold nowhere."""

    async def dispose(self) -> None:
        """Close all connections."""
