"""Delays after failed sign-ins."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from watchword.authority.accounts.throttle import (
    ACCOUNT,
    ADDRESS,
    FORGET_SECONDS,
    Allowance,
    charge,
    delay,
    forget_old,
    refund,
    uncharge,
)
from watchword.authority.database import Database, clock
from watchword.authority.schema import throttle
from watchword.errors import Throttled

pytestmark = pytest.mark.both_databases

ADA = {"account": "ada", "address": "192.0.2.1"}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database."""
    database = Database(f"sqlite:///{tmp_path / 'w.db'}")
    await database.migrate()
    yield database
    await database.dispose()


async def _attempts(database: Database, number: int, **who: str) -> None:
    for _ in range(number):
        async with database.writing() as connection:
            await charge(connection, **{**ADA, **who})


def test_delays_double_up_to_a_longest() -> None:
    """Free attempts cost nothing; from then on each failure doubles the wait."""
    allowance = Allowance(3, 10.0)
    assert [delay(n, allowance) for n in range(9)] == [0, 0, 0, 1, 2, 4, 8, 10, 10]
    assert delay(10**9, allowance) == 10


async def test_an_account_must_wait_after_its_free_attempts(database: Database) -> None:
    """The refusal says how long, and other accounts go on."""
    await _attempts(database, ACCOUNT.free)
    with pytest.raises(Throttled) as refusal:
        await _attempts(database, 1)
    assert refusal.value.retry_after == 1
    await _attempts(database, 1, account="grace")


async def test_an_address_must_wait_whatever_names_it_tries(database: Database) -> None:
    """Guessing one password for many names is slowed by the address."""
    for number in range(ADDRESS.free):
        await _attempts(database, 1, account=f"user{number}")
    with pytest.raises(Throttled):
        await _attempts(database, 1, account="another")
    await _attempts(database, 1, account="another", address="192.0.2.2")


@pytest.mark.parametrize(
    ("addresses", "one"),
    [
        (["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:9::"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["192.0.2.1", "::ffff:192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["fe80::1%eth0", "fe80::1%eth1"], True),
        (["testclient", "x" * 500], False),
    ],
)
async def test_an_address_is_whoever_holds_it(database: Database, addresses: list[str], *, one: bool) -> None:
    """Everybody has a whole /64 of IPv6; IPv4 is the same however it is written."""
    for number, address in enumerate(addresses):
        await _attempts(database, 1, account=f"user{number}", address=address)
    async with database.reading() as connection:
        keys = (await connection.execute(select(throttle.c.key))).scalars().all()
    assert (len([key for key in keys if key.startswith("address ")]) == 1) is one


async def test_a_refused_attempt_is_not_charged(database: Database) -> None:
    """Whoever asks too early does not make the wait longer."""
    await _attempts(database, ACCOUNT.free)
    for _ in range(5):
        with pytest.raises(Throttled) as refusal:
            await _attempts(database, 1)
    assert refusal.value.retry_after == 1


async def test_a_right_password_gives_everything_back(database: Database) -> None:
    """After a success the account starts from nothing."""
    await _attempts(database, ACCOUNT.free - 1)
    async with database.writing() as connection:
        await refund(connection, **ADA)
    await _attempts(database, ACCOUNT.free)


async def test_an_attempt_that_was_never_looked_at_is_given_back(database: Database) -> None:
    """When the machine was too busy to hash, nobody has guessed."""
    await _attempts(database, ACCOUNT.free)
    async with database.writing() as connection:
        await uncharge(connection, **ADA)
    await _attempts(database, 1)


async def test_an_hour_without_a_failure_forgets(database: Database) -> None:
    """Old failures neither count nor stay in the table."""
    await _attempts(database, ACCOUNT.free + 0)
    async with database.writing() as connection:
        then = await clock(connection) - FORGET_SECONDS - 1
        await connection.execute(update(throttle).values(last_at=then, until=then))
    await _attempts(database, 1, address="192.0.2.9")
    async with database.writing() as connection:
        await forget_old(connection)
        left = {row.failures for row in (await connection.execute(throttle.select())).all()}
    assert left == {1}


async def test_names_are_kept_as_hashes(database: Database) -> None:
    """What was typed as a name may be a password in the wrong field."""
    await _attempts(database, 1, account="hunter2hunter2")
    async with database.reading() as connection:
        rows = (await connection.execute(throttle.select())).all()
    assert "hunter2" not in str(rows)
