"""The head of the log: positions, floor and epochs."""

import asyncio

import pytest
from sqlalchemy import select, update

from watchword.authority.authority import Authority
from watchword.authority.log.cut import cut_user
from watchword.authority.log.head import append, forget_below_floor, new_epoch, raise_floor, read_head
from watchword.authority.schema import entries

pytestmark = pytest.mark.both_databases


async def _cut(authority: Authority, *users: str) -> None:
    for user in users:
        async with authority.database.writing() as connection:
            await cut_user(connection, user, "signed_out")


async def test_positions_are_gapless_and_in_commit_order(authority: Authority) -> None:
    """Fifty changes at once take fifty numbers in a row, and a change that is taken back takes none."""
    before = await _head_number(authority)

    async def change(number: int) -> None:
        async with authority.database.writing() as connection:
            await append(connection, "token", f"t{number}", "token_revoked")
            if number % 10 == 0:
                raise ZeroDivisionError

    results = await asyncio.gather(*(change(number) for number in range(60)), return_exceptions=True)
    assert sum(isinstance(result, ZeroDivisionError) for result in results) == 6
    async with authority.database.reading() as connection:
        numbers = (await connection.execute(select(entries.c.position).order_by(entries.c.position))).scalars().all()
    assert list(numbers) == list(range(1, before + 55))


async def _head_number(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return (await read_head(connection)).number


async def test_the_floor_rises_only_over_what_has_expired(authority: Authority) -> None:
    """An entry is forgotten once every token that was minted before it must have expired, and no earlier."""
    await _cut(authority, "a", "b", "c")
    async with authority.database.writing() as connection:
        at = await read_head(connection)
        old = at.now - at.lifetime - 100
        await connection.execute(update(entries).where(entries.c.position <= 2).values(at=old))
        assert await raise_floor(connection, 101) is None
        assert await raise_floor(connection, 99) == 2
        assert await forget_below_floor(connection) == 1
        at = await read_head(connection)
        left = (await connection.execute(select(entries.c.position).order_by(entries.c.position))).scalars().all()
    assert (at.floor, at.number, list(left)) == (2, 3, [2, 3])


async def test_the_floor_never_falls(authority: Authority) -> None:
    """Entries that seem old after the clock was set back change nothing below the floor."""
    await _cut(authority, "a", "b", "c")
    async with authority.database.writing() as connection:
        await connection.execute(update(entries).values(at=0.0))
        await raise_floor(connection, 0)
        await connection.execute(update(entries).values(at=0.0))
        assert await raise_floor(connection, 0) is None
        assert (await read_head(connection)).floor == 3


@pytest.mark.parametrize("clone", [False, True])
async def test_a_new_epoch_goes_on_counting_above_everything(authority: Authority, *, clone: bool) -> None:
    """Numbers on rows stay comparable; only a clone becomes another instance."""
    await _cut(authority, "a")
    async with authority.database.writing() as connection:
        before = await read_head(connection)
        position = await new_epoch(connection, clone=clone)
        after = await read_head(connection)
    assert after.position == position
    assert after.epoch != before.epoch
    assert after.number == after.floor == before.number + 1
    assert (after.instance != before.instance) is clone
