"""Who follows the feed, and how far each has come: what receipts are made of.

A cursor that comes back is a receipt: its guard has taken in everything up to there. Each replica remembers what it
hears, and writes it down now and then for the others; the moments are those at which it was heard.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.background import surviving
from watchword.authority.database import Database, Now, is_shared
from watchword.authority.engines.prepared import Prepared, slot
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.reader import LogReader
from watchword.authority.schema import followers

WRITE_SECONDS: Final = 0.25
"""How often what was heard is written down: a receipt is known everywhere after this long at the latest."""
FORGET_SECONDS: Final = 3600.0
"""How long a guard that has gone silent is still listed."""
_MOST: Final = 10_000  # whoever holds a client's secret can make up names: of these, more are not remembered


@dataclass(slots=True)
class _Follower:
    address: str
    stale: float
    epoch: str
    number: int
    confirmed_at: float
    seen_at: float
    written_number: int = -1
    written_at: float = 0.0

    @property
    def due(self) -> bool:
        """Whether it has come further, or might soon be taken for silent, as far as others can see."""
        return self.number != self.written_number or self.seen_at > self.written_at + self.stale / 4


@final
class Followers:
    """What this process hears of the guards that name themselves and are proven by a client's credentials."""

    def __init__(self, database: Database, reader: LogReader) -> None:
        self._database = database
        self._reader = reader
        self._heard: dict[tuple[str, str], _Follower] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def hear(self, client: str, name: str, *, address: str, stale: float, after: Cursor | None) -> None:
        """A guard has asked for what comes after a place, so it has all that came before."""
        key, now = (client, name), self._reader.now()
        epoch, number = (after.epoch, after.number) if after else ("", 0)
        known = self._heard.get(key)
        if known is None:
            if len(self._heard) < _MOST:
                self._heard[key] = _Follower(address[:64], stale, epoch, number, now, now)
            return
        if (known.epoch, known.number) != (epoch, number):
            known.epoch, known.number, known.confirmed_at = epoch, number, now
            known.written_number = -1
        known.address, known.stale, known.seen_at = address[:64], stale, now

    def start(self) -> None:
        """Begin to write down what is heard."""
        self._task = asyncio.create_task(self._keep_writing())

    async def stop(self) -> None:
        """Write once more, and stop."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def write(self) -> None:
        """Write down what others should know."""
        due = sorted((key, one) for key, one in self._heard.items() if one.due)
        if not due:
            return
        rows = [_row(key, one) for key, one in due]
        async with self._database.writing() as connection:
            await (_WRITE_SHARED if is_shared(connection) else _WRITE).run_all(connection, rows)
        for (_, one), row in zip(due, rows, strict=True):
            one.written_number, one.written_at = row["number"], row["seen_at"]
        self._forget_silent()

    def _forget_silent(self) -> None:
        now = self._reader.now()
        for key, one in list(self._heard.items()):
            if one.seen_at < now - one.stale - FORGET_SECONDS:
                del self._heard[key]

    async def _keep_writing(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), WRITE_SECONDS)
            with surviving("writing down who follows"):
                await self.write()


async def forget_silent(connection: AsyncConnection) -> None:
    """Remove the rows of guards that have been silent for long."""
    await connection.execute(delete(followers).where(followers.c.seen_at < Now() - followers.c.stale - FORGET_SECONDS))


def _row(key: tuple[str, str], one: _Follower) -> dict[str, Any]:
    client, name = key
    place = {"epoch": one.epoch, "number": one.number, "confirmed_at": one.confirmed_at, "seen_at": one.seen_at}
    return {"client": client, "name": name, "address": one.address, "stale": one.stale, **place}


def _write(insert: postgresql.Insert | sqlite.Insert) -> Prepared:
    """Insert or update, unless another replica has heard of that guard since."""
    new = {column.name: insert.excluded[column.name] for column in followers.c if not column.primary_key}
    later = insert.excluded.seen_at >= followers.c.seen_at
    values = {column.name: slot(column.name, column.type) for column in followers.c}
    return Prepared(
        insert.values(values).on_conflict_do_update(index_elements=["client", "name"], set_=new, where=later)
    )


_WRITE: Final = _write(sqlite.insert(followers))
_WRITE_SHARED: Final = _write(postgresql.insert(followers))
