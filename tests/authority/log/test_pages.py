"""Pages of the log and cursors."""

import pytest
from sqlalchemy import delete, update

from watchword.authority.authority import Authority
from watchword.authority.log.cursor import Cursor
from watchword.authority.log.cut import cut_token
from watchword.authority.log.head import new_epoch, raise_floor
from watchword.authority.log.lost import Lost, sound_alarm
from watchword.authority.log.pages import PAGE_ENTRIES, read_page
from watchword.authority.schema import entries, head
from watchword.core.feed import Knowledge, Page, fold
from watchword.errors import HistoryLost

pytestmark = pytest.mark.both_databases

KEY = b"k" * 32


async def _cut(authority: Authority, number: int) -> None:
    async with authority.database.writing() as connection:
        for token in range(number):
            await cut_token(connection, f"t{token}")


async def _page(authority: Authority, cursor: str | None = None) -> Page:
    after = None if cursor is None else Cursor.open(cursor, KEY)
    _, page = await read_page(authority.database, authority.settings.issuer, after, KEY)
    return page


def _cursor(page: Page) -> Cursor:
    cursor = Cursor.open(page.cursor, KEY)
    assert cursor is not None
    return cursor


def test_a_cursor_comes_back_as_it_went() -> None:
    """What was sealed opens, under the same key only, and not after a change."""
    cursor = Cursor("i", "e", 1795457813.230996, 7, "m")
    sealed = cursor.seal(KEY)
    assert Cursor.open(sealed, KEY) == cursor
    assert Cursor.open(sealed, b"x" * 32) is None
    for text in ("", "x", "é", sealed[:-1], sealed[:-1] + ("A" if sealed[-1] != "A" else "Q"), "A" * 10_000):
        assert Cursor.open(text, KEY) is None


async def test_without_a_cursor_comes_a_snapshot(authority: Authority) -> None:
    """A snapshot has the keys, every living cutoff, and reaches the head."""
    await _cut(authority, 3)
    page = await _page(authority)
    assert (page.after, page.number, page.head) == (None, 3, 3)
    assert [entry.id for entry in page.entries] == ["t0", "t1", "t2"]
    assert page.keys is not None
    assert {key.state for key in page.keys} == {"current", "next"}


async def test_after_a_cursor_comes_what_is_new(authority: Authority) -> None:
    """A page continues where the cursor stands, and an empty one repeats it."""
    first = await _page(authority)
    await _cut(authority, 2)
    second = await _page(authority, first.cursor)
    assert (second.after, [entry.number for entry in second.entries], second.keys) == (0, [1, 2], None)
    third = await _page(authority, second.cursor)
    assert (third.after, third.entries, third.cursor) == (2, [], second.cursor)


async def test_a_long_way_is_cut_into_pages_that_fold_to_the_snapshot(authority: Authority) -> None:
    """A guard that was away for long catches up page by page and ends where a snapshot would."""
    page = await _page(authority)
    knowledge: Knowledge = fold(None, page)
    await _cut(authority, PAGE_ENTRIES + 1)
    page = await _page(authority, knowledge.cursor)
    knowledge = fold(knowledge, page)
    assert not knowledge.complete
    knowledge = fold(knowledge, await _page(authority, knowledge.cursor))
    assert knowledge.complete
    whole = fold(None, await _page(authority))
    assert set(knowledge.cutoffs) == set(whole.cutoffs)


async def test_a_cursor_of_another_history_gets_a_snapshot(authority: Authority) -> None:
    """A guard that moved from a clone, or over a recovery, starts anew."""
    cursor = _cursor(await _page(authority))
    for other in (cursor._replace(instance="another"), cursor._replace(epoch="another", born=cursor.born - 1)):
        assert (await _page(authority, other.seal(KEY))).after is None


async def test_a_cursor_of_a_later_epoch_means_lost_history(authority: Authority) -> None:
    """A backup from before a recovery was restored: the epoch that it goes back to was over."""
    before = _cursor(await _page(authority))
    async with authority.database.writing() as connection:
        await new_epoch(connection)
    later = (await _page(authority)).cursor
    old = {"epoch": before.epoch, "born": before.born, "position": before.number, "mark": before.mark}
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(**old))
    with pytest.raises(HistoryLost):
        await _page(authority, later)


async def test_a_snapshot_has_one_cutoff_for_each_whom(authority: Authority) -> None:
    """Whoever is cut off again and again takes one place in what every guard must read at its start."""
    for _ in range(3):
        await _cut(authority, 2)
    page = await _page(authority)
    assert [(entry.id, entry.number) for entry in page.entries] == [("t0", 5), ("t1", 6)]


async def test_a_cursor_below_the_floor_gets_a_snapshot(authority: Authority) -> None:
    """What it would need has been forgotten; one that stands at the floor can go on."""
    first = await _page(authority)
    await _cut(authority, 3)
    async with authority.database.writing() as connection:
        await connection.execute(update(entries).where(entries.c.position <= 2).values(at=0.0))
    at_floor = await _page(authority)
    async with authority.database.writing() as connection:
        await raise_floor(connection, 0)
    assert (await _page(authority, first.cursor)).after is None
    assert (await _page(authority, at_floor.cursor)).after == 3


async def test_a_cursor_ahead_of_the_log_means_lost_history(authority: Authority) -> None:
    """The database went back: a restored backup, or a failover that lost commits."""
    await _cut(authority, 2)
    ahead = await _page(authority)
    async with authority.database.writing() as connection:
        await connection.execute(delete(entries).where(entries.c.position == 2))
        await connection.execute(update(head).values(position=1))
    with pytest.raises(HistoryLost):
        await _page(authority, ahead.cursor)


@pytest.mark.parametrize("more", [0, 1])
async def test_another_entry_of_the_same_number_means_lost_history(authority: Authority, more: int) -> None:
    """The log went back and has grown again since: only the random mark tells."""
    await _cut(authority, 1)
    page = await _page(authority)
    await _cut(authority, more)
    stranger = _cursor(page)._replace(mark="another")
    with pytest.raises(HistoryLost):
        await _page(authority, stranger.seal(KEY))


async def test_an_alarm_closes_the_feed_until_a_new_epoch(authority: Authority) -> None:
    """Nobody gets a page while history is lost; the operator's new epoch opens the feed with a snapshot for all."""
    cursor = (await _page(authority)).cursor
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(alarm="lost"))
    for given in (None, cursor):
        with pytest.raises(HistoryLost):
            await _page(authority, given)
    async with authority.database.writing() as connection:
        await new_epoch(connection)
    page = await _page(authority, cursor)
    assert (page.after, page.entries, page.floor) == (None, [], page.head)


async def test_one_recovery_is_enough_whatever_the_clock_says(authority: Authority) -> None:
    """A restored backup whose clock is behind begins an epoch later than any that a guard has seen."""
    first = _cursor(await _page(authority))
    seen = first._replace(epoch="elsewhere", born=first.born + 1e6).seal(KEY)
    with pytest.raises(Lost) as lost:
        await _page(authority, seen)
    async with authority.database.writing() as connection:
        await sound_alarm(connection, lost.value)
        await new_epoch(connection)
    page = await _page(authority, seen)
    assert page.after is None
    assert page.born > first.born + 1e6
