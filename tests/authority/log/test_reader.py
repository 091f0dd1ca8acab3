"""Reading pages for many at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.authority import Authority
from watchword.authority.database import Database
from watchword.authority.log import reader as reader_module
from watchword.authority.log.cut import cut_token
from watchword.authority.log.lost import Lost
from watchword.authority.log.reader import LogReader
from watchword.authority.recover import recover
from watchword.errors import HistoryLost

pytestmark = pytest.mark.both_databases


class Gated(Database):
    """Each read of this database waits for its gate, in the order of their beginning."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.gates: list[asyncio.Event] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Wait, then read."""
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        async with super().reading() as connection:
            yield connection


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def gated(authority: Authority) -> AsyncIterator[Gated]:
    """A database of its own on the authority's file, so that nobody else waits at its gates."""
    database = Gated(authority.settings.database)
    yield database
    await database.dispose()


@pytest.fixture
def reader(authority: Authority, gated: Gated) -> LogReader:
    """A reader of its own, which nobody else uses."""
    return LogReader(gated, authority.settings.issuer, b"k" * 32)


async def test_all_who_ask_before_a_read_begins_share_it(reader: LogReader, gated: Gated) -> None:
    """A hundred followers cost one read and one encoding."""
    asked = [asyncio.create_task(reader.read(None)) for _ in range(100)]
    await _settle()
    assert len(gated.gates) == 1
    gated.gates[0].set()
    assert len({id(read) for read in await asyncio.gather(*asked)}) == 1


async def test_who_asks_after_a_read_began_gets_a_later_one(reader: LogReader, gated: Gated) -> None:
    """A page whose read began before the request would look fresher than it is."""
    first = asyncio.create_task(reader.read(None))
    await _settle()
    second = asyncio.create_task(reader.read(None))
    await _settle()
    assert len(gated.gates) == 2
    for gate in gated.gates:
        gate.set()
    assert (await first) is not (await second)


async def test_one_who_leaves_takes_nothing_from_the_others(reader: LogReader, gated: Gated) -> None:
    """A follower that hangs up does not cancel the read that it shared."""
    leaving, staying = asyncio.create_task(reader.read(None)), asyncio.create_task(reader.read(None))
    await _settle()
    leaving.cancel()
    gated.gates[0].set()
    assert (await staying).page.after is None


async def test_a_move_between_a_read_and_the_wait_is_not_missed(reader: LogReader) -> None:
    """The signal is taken before the read, so that what is committed meanwhile wakes at once."""
    move = reader.next_move
    reader.wake()
    assert await reader.wait(move, 60)


async def test_a_wait_ends_when_the_process_is_about_to_stop(reader: LogReader) -> None:
    """Held polls are answered at the signal, not after their hold."""
    waiting = asyncio.create_task(reader.wait(reader.next_move, 60))
    await _settle()
    reader.release()
    assert await waiting
    assert not await reader.wait(reader.next_move, 60)


async def test_a_change_by_another_process_wakes(authority: Authority) -> None:
    """A command line that writes to the same file is noticed without being told."""
    move = authority.reader.next_move
    another = Database(authority.settings.database)
    async with another.writing() as connection:
        await cut_token(connection, "t")
    await another.dispose()
    assert await authority.reader.wait(move, 10)


async def test_one_recovery_is_enough_for_all_who_ask_before_it(authority: Authority) -> None:
    """Several recoveries are lost, and the clock is behind: what each guard has seen counts, also under the alarm."""
    first = authority.reader.cursor((await authority.reader.read(None)).page.cursor)
    assert first is not None
    later = [first._replace(epoch=f"lost-{days}", born=first.born + 86_400 * days) for days in (2, 1, 3)]
    for seen in [*later, *later]:
        with pytest.raises(HistoryLost):
            await authority.reader.read(seen)
    await recover(authority)
    for seen in later:
        page = (await authority.reader.read(seen)).page
        assert page.after is None
        assert page.born > seen.born


async def test_what_a_guard_shows_under_an_alarm_is_written_once(authority: Authority) -> None:
    """Guards ask again and again while the feed is closed: nothing but a later epoch than any before is news."""
    first = authority.reader.cursor((await authority.reader.read(None)).page.cursor)
    assert first is not None
    seen = first._replace(epoch="lost", born=first.born + 1e6)
    for after in (seen._replace(number=first.number + 1), seen, first, None):
        with pytest.raises(HistoryLost) as found:
            await authority.reader.read(after)
        assert isinstance(found.value, Lost) is (after is not None and after.number > first.number)


class Stubborn(Database):
    """A database whose driver swallows the first cancellation."""

    async def listen(self, heard: object) -> None:
        """Go on once."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()


async def test_the_end_does_not_hang_on_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who listens is cancelled until that is heard."""
    monkeypatch.setattr(reader_module, "_CANCEL_SECONDS", 0.01)
    database = Stubborn(f"sqlite:///{tmp_path / 'w.db'}")
    await database.migrate()
    reader = LogReader(database, "i", b"k" * 32)
    reader.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await reader.stop()
    await database.dispose()
