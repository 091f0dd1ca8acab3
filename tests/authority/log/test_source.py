"""How the authority's own guard knows what was revoked."""

import pytest
from sqlalchemy import update

from watchword.authority.authority import Authority
from watchword.authority.log.cut import cut_token
from watchword.authority.log.head import new_epoch
from watchword.authority.schema import head

pytestmark = pytest.mark.both_databases


async def test_what_this_process_changed_is_known_before_the_change_is_answered(authority: Authority) -> None:
    """Read your own revocation: no request after the answer finds the guard behind."""
    async with authority.changing() as connection:
        number = await cut_token(connection, "t")
    known = authority.source.known
    assert known is not None
    assert known.knowledge.number == number


async def test_lost_history_leaves_what_is_known_to_grow_old(authority: Authority) -> None:
    """The guard keeps its knowledge, says why it learns nothing, and is not dated anew."""
    async with authority.database.writing() as connection:
        await connection.execute(update(head).values(alarm="lost"))
    await authority.source.catch_up()
    before = authority.source.known
    await authority.source.catch_up()
    assert authority.source.known is before
    assert "history_lost" in (authority.source.last_error or "")


async def test_a_new_epoch_is_followed(authority: Authority) -> None:
    """After a recovery the guard knows the new epoch, and no error stays behind."""
    async with authority.changing() as connection:
        position = await new_epoch(connection)
    known = authority.source.known
    assert known is not None
    assert known.knowledge.epoch == position.epoch
    assert authority.source.last_error is None
    assert authority.source.wait(0)


async def test_it_announces(authority: Authority) -> None:
    """Who listens is told of each change by which tokens are judged, and of nothing else."""
    told: list[int] = []

    def listen() -> None:
        assert authority.source.known is not None
        told.append(authority.source.known.knowledge.number)

    authority.source.listeners.add(listen, listen)
    await authority.source.catch_up()
    assert told == []
    async with authority.changing() as connection:
        number = await cut_token(connection, "t")
    assert told == [number]
    authority.source.listeners.remove(listen)
