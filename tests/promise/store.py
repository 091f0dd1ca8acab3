"""A database that can be copied, fenced and lost: real SQLite in write-ahead mode, so that snapshots are real.

Many transactions can be open side by side and stand still at any statement. Only the durability is given up, and the
pool: a commit is not flushed, as the machine under this world never loses power.
"""

import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, CursorResult, Dialect, Executable, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError
from tests.promise.history import ALARM, EPOCH, KEPT, Chain, Event
from tests.promise.loop import step

from watchword.authority.engines.sqlite import CLOCK
from watchword.errors import Unavailable

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder in memory where there is one: files of this world are short-lived
_HEAD: Final = "SELECT epoch, position, mark, alarm FROM head"
_opening: list["Store"] = []


class Place(NamedTuple):
    """A place in the log, as its head names it."""

    epoch: str
    number: int
    mark: str


class Image(NamedTuple):
    """A database as it was at one moment, with what had happened in it: a backup, or a standby."""

    data: bytes
    chain: Chain


class Folder:
    """Where the stores of one world are."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None)
        self._files = 0

    def new_file(self) -> Path:
        """A name that no store had yet."""
        self._files += 1
        return Path(self._folder.name) / f"{self._files}.db"

    def clean(self) -> None:
        """Remove everything."""
        self._folder.cleanup()


class Store:
    """One database server's life: from when it came into force until it is fenced.

    ``now`` is the true time, and ``offset`` is what this server's clock adds to it; ``identity`` is what it says that
    it is, its cluster and timeline. ``chain`` is what was committed
    here, in order, and ``places`` says how far it was at each head of the log: the world's own knowledge, which no
    code under test sees.
    """

    def __init__(
        self,
        folder: Folder,
        image: Image,
        now: Callable[[], float],
        places: dict[Place, Chain],
        identity: str,
        offset: float = 0.0,
    ) -> None:
        self.path = folder.new_file()
        self.path.write_bytes(image.data)
        self.chain = image.chain
        self.places = places
        self.now = now
        self.identity = identity
        self.offset = offset
        self.fenced = False
        self.idle: list[Connection] = []
        self._all: list[Connection] = []

    def image(self) -> Image:
        """A copy of all that is committed."""
        connection = self._connection()
        raw: Any = connection.connection.driver_connection
        data: bytes = raw.serialize()
        self.idle.append(connection)
        return Image(data, self.chain)

    def clock(self) -> float:
        """Seconds since 1970 by this server's clock."""
        return self.now() + self.offset

    def close(self) -> None:
        """Close all connections; whatever was open is rolled back."""
        for connection in self._all:
            connection.close()

    @asynccontextmanager
    async def transaction(self, *, writing: bool) -> AsyncIterator["Transaction"]:
        """A transaction of either kind; each of its statements is a step, and so are its beginning and its end."""
        await step()
        if self.fenced:
            raise Unavailable("the server is gone", retry_after=1)
        connection = self._connection()
        connection.execution_options(writing=writing)
        transaction = Transaction(self, connection)
        transaction.raw.running = transaction
        try:
            with connection.begin():
                yield transaction
                await step()
                transaction.check()
                if writing:
                    transaction.end()
            transaction.committed()
        except (DBAPIError, sqlite3.Error) as why:
            raise Unavailable(str(why), retry_after=1) from why
        finally:
            self.idle.append(connection)
        await step()

    def look(self, statement: Executable) -> list[Any]:
        """What is committed now, for the world's own eyes."""
        connection = self._connection()
        connection.execution_options(writing=False)
        with connection.begin():
            rows = list(connection.execute(statement).all())
        self.idle.append(connection)
        return rows

    def _connection(self) -> Connection:
        if self.idle:
            return self.idle.pop()
        _opening.append(self)
        connection = _engine.connect()
        _opening.pop()
        self._all.append(connection)
        return connection


class Transaction:
    """What the authority's code has for an `AsyncConnection`: the same statements, each of them a step."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self.store = store
        self._connection = connection
        self._events: list[Event] = []
        self._place: Place | None = None
        self.info: dict[object, list[Callable[[], None]]] = defaultdict(list)
        self.seen: Chain = ()
        self._begun = False

    @property
    def dialect(self) -> Dialect:
        """Which database it is."""
        return self._connection.dialect

    @property
    def sync_connection(self) -> Connection:
        """The way to the driver for prepared statements."""
        return self._connection

    @property
    def raw(self) -> "Raw":
        """The driver's connection."""
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, Raw)
        return driver

    async def statement(self) -> None:
        """One statement is about to run. The first one takes the snapshot."""
        await step()
        self.check()
        if not self._begun:
            self._begun, self.seen = True, self.store.chain

    async def execute(
        self, statement: Executable, values: Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Execute one statement."""
        await self.statement()
        return self._connection.execute(statement, values)

    def check(self) -> None:
        """A fenced server's connections are gone."""
        if self.store.fenced:
            raise Unavailable("the server is gone", retry_after=1)

    def happens(self, *events: Event) -> list[Event]:
        """Say what this transaction does; it has happened once it is committed."""
        self._events += events
        return list(events)

    def end(self) -> None:
        """Look once more, before the commit, at where the log is now."""
        epoch, number, mark, alarm = self._connection.exec_driver_sql(_HEAD).one()
        self._place = Place(epoch, number, mark)
        if alarm is not None and not any(event.kind == EPOCH for event in self._events):
            since = next((event for event in reversed(self.store.chain) if event.kind in (EPOCH, ALARM, KEPT)), None)
            if since is None or since.kind != ALARM:
                self.happens(Event(ALARM, alarm))

    def committed(self) -> None:
        """It has happened."""
        store = self.store
        for happened in self._events:
            happened.before, happened.committed = store.chain, store.now()
            store.chain = (*store.chain, happened)
        if self._place is not None:
            store.places.setdefault(self._place, store.chain)  # an alarm moves nothing


class Raw(sqlite3.Connection):
    """The driver's connection, as prepared statements want it."""

    running: Transaction

    async def fetch(self, text: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement in the transaction that is under way; the server says who it is, as PostgreSQL does."""
        await self.running.statement()
        cursor = self.execute(text, values)
        names = [column[0] for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        here = {"head_witness": self.running.store.identity}
        return [row | here if "head_witness" in row else row for row in rows]

    async def executemany(self, text: str, many: Sequence[Sequence[Any]]) -> None:  # type: ignore[override]
        """Run one statement for each of these, in one way there and back."""
        await self.running.statement()
        super().executemany(text, many)


def _connect() -> sqlite3.Connection:
    store = _opening[-1]
    raw = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False, timeout=0, factory=Raw)
    raw.execute("PRAGMA synchronous = OFF")
    raw.execute("PRAGMA foreign_keys = ON")
    raw.create_function(CLOCK, 0, store.clock)
    return raw


_engine: Final = create_engine("sqlite://", creator=_connect, poolclass=NullPool)


@event.listens_for(_engine, "begin")
def _begun(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
