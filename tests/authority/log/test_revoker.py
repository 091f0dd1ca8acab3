"""Many revocations in one transaction."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.authority import Authority
from watchword.authority.log.head import Entry, append_all, read_head
from watchword.authority.log.revoker import Wanted
from watchword.authority.schema import audit, entries
from watchword.core.cutoffs import Position, Scope
from watchword.errors import InvalidRequest, NotFound, Refused, Unavailable


def _wanted(number: int) -> Wanted:
    return Wanted(Scope.TOKEN, f"t{number}", "operator", "192.0.2.1", "token")


async def test_what_comes_while_one_is_written_shares_the_next_transaction(authority: Authority) -> None:
    """A hundred at once are two transactions, a hundred entries without a gap, and a hundred audit lines."""
    before, moves = await _number(authority), authority.reader.moves
    positions = await asyncio.gather(*(authority.revoker.revoke(_wanted(number)) for number in range(100)))
    assert authority.reader.moves - moves <= 2
    assert max(position.number for position in positions) == before + 100
    async with authority.database.reading() as connection:
        numbers = (await connection.execute(select(entries.c.position).where(entries.c.id.like("t%")))).scalars().all()
        lines = (await connection.execute(select(audit.c.target).where(audit.c.action == "revoke"))).scalars().all()
    assert sorted(numbers) == list(range(before + 1, before + 101))
    assert len(lines) == 100


async def test_each_is_answered_by_itself(authority: Authority) -> None:
    """Whoever names what is not there is told so, and the others are revoked."""
    wanted = [_wanted(1), Wanted(Scope.USER, "nobody", "operator", ""), _wanted(2), Wanted(Scope.ROLE, "no", "o", "")]
    answers = await asyncio.gather(*map(authority.revoker.revoke, wanted), return_exceptions=True)
    assert [isinstance(answer, NotFound) for answer in answers] == [False, True, False, True]
    assert await _number(authority) == 2


async def test_one_that_the_database_cannot_take_spoils_no_other(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the transaction is refused for what it holds, each of them is tried by itself."""
    whole = append_all

    async def picky(connection: AsyncConnection, news: list[Entry]) -> Position:
        if any(entry.id == "t3" for entry in news):
            raise InvalidRequest("cannot be held")
        return await whole(connection, news)

    monkeypatch.setattr("watchword.authority.log.revoker.append_all", picky)
    wanted = map(_wanted, range(5))
    answers = await asyncio.gather(*map(authority.revoker.revoke, wanted), return_exceptions=True)
    assert [isinstance(answer, Refused) for answer in answers] == [False, False, False, True, False]
    assert await _number(authority) == 4


async def test_a_database_that_is_away_refuses_all(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever, and the next one is tried again."""

    async def away(*_: object) -> Position:
        raise Unavailable("away", retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr("watchword.authority.log.revoker.append_all", away)
        answers = await asyncio.gather(*map(authority.revoker.revoke, map(_wanted, range(5))), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    await authority.revoker.revoke(_wanted(9))


async def test_a_mistake_of_ours_leaves_nobody_waiting(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who shared the transaction are told; those who came after them are served."""
    whole, reached, go_on = append_all, asyncio.Event(), asyncio.Event()

    async def broken(connection: AsyncConnection, news: list[Entry]) -> Position:
        if news[0].id != "t0":
            return await whole(connection, news)
        reached.set()
        await go_on.wait()
        raise ZeroDivisionError

    monkeypatch.setattr("watchword.authority.log.revoker.append_all", broken)
    first = asyncio.create_task(authority.revoker.revoke(_wanted(0)))
    await reached.wait()
    second = asyncio.create_task(authority.revoker.revoke(_wanted(1)))
    go_on.set()
    with pytest.raises(ZeroDivisionError):
        await first
    assert (await second).number == await _number(authority)


async def _number(authority: Authority) -> int:
    async with authority.database.reading() as connection:
        return (await read_head(connection)).number
