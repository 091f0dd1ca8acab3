"""Growing delays after failed sign-ins, for each account and each address, kept in the database.

An attempt is charged before the password is looked at and refunded if it was right, so that a hundred guesses sent at
once cost what a hundred guesses cost one by one.
"""

import hashlib
import ipaddress
import math
from typing import Final, NamedTuple

from sqlalchemy import RowMapping, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import Now, is_shared
from watchword.authority.schema import throttle
from watchword.errors import Throttled

FORGET_SECONDS: Final = 3600.0
"""After this long without a failure an account or address starts from nothing."""


class Allowance(NamedTuple):
    """How many failures are free, and how long the delay may grow to, in seconds."""

    free: int
    longest: float


ACCOUNT: Final = Allowance(10, 300.0)
ADDRESS: Final = Allowance(50, 300.0)  # many people share an address


async def charge(connection: AsyncConnection, *, account: str, address: str) -> None:
    """Count an attempt against account and address; `Throttled` if either must still wait."""
    for key, allowance in _keys(account, address):
        row = await _locked(connection, key)
        if row["until"] > row["now"]:
            raise Throttled(f"{key} must wait", retry_after=math.ceil(row["until"] - row["now"]))
        failures = 1 if row["last_at"] < row["now"] - FORGET_SECONDS else row["failures"] + 1
        values = {"failures": failures, "last_at": row["now"], "until": row["now"] + delay(failures, allowance)}
        await connection.execute(update(throttle).where(throttle.c.key == key).values(**values))


async def _locked(connection: AsyncConnection, key: str) -> RowMapping:
    """The row of that key, made if it is missing, which nobody else changes until this transaction ends."""
    insert = (postgresql.insert if is_shared(connection) else sqlite.insert)(throttle)
    # In one statement: between two of them, a refund could remove the row again.
    made = insert.values(key=key, failures=0, last_at=0.0, until=0.0).on_conflict_do_update(
        index_elements=["key"], set_={"failures": throttle.c.failures}
    )
    found = await connection.execute(made.returning(*throttle.c, Now().label("now")))
    return found.mappings().one()


async def refund(connection: AsyncConnection, *, account: str, address: str) -> None:
    """The attempt was right: the account starts from nothing, the address gets this one attempt back."""
    (account_key, _), (address_key, allowance) = _keys(account, address)
    await connection.execute(delete(throttle).where(throttle.c.key == account_key))
    await _give_back(connection, address_key, allowance)


async def uncharge(connection: AsyncConnection, *, account: str, address: str) -> None:
    """The attempt was never looked at: both get it back."""
    for key, allowance in _keys(account, address):
        await _give_back(connection, key, allowance)


async def _give_back(connection: AsyncConnection, key: str, allowance: Allowance) -> None:
    query = select(throttle).where(throttle.c.key == key).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is not None:
        failures = max(row["failures"] - 1, 0)
        until = min(row["until"], row["last_at"] + delay(failures, allowance))
        values = {"failures": failures, "until": until}
        await connection.execute(update(throttle).where(throttle.c.key == key).values(**values))


async def forgive(connection: AsyncConnection, account: str) -> None:
    """The account starts from nothing: an administrator has given it a new password."""
    (account_key, _), _ = _keys(account, "")
    await connection.execute(delete(throttle).where(throttle.c.key == account_key))


async def forget_old(connection: AsyncConnection) -> None:
    """Remove what no longer delays anybody."""
    await connection.execute(delete(throttle).where(throttle.c.last_at < Now() - FORGET_SECONDS))


def delay(failures: int, allowance: Allowance) -> float:
    """Seconds to wait after so many failures: none while they are free, then 1, 2, 4, … up to the longest."""
    if failures < allowance.free:
        return 0.0
    return min(2.0 ** min(failures - allowance.free, 30), allowance.longest)


def _keys(account: str, address: str) -> tuple[tuple[str, Allowance], tuple[str, Allowance]]:
    # What was typed as a name may be a password in the wrong field: it is kept as a hash only.
    name = hashlib.sha256(account.encode(errors="replace")).hexdigest()[:32]
    return (f"account {name}", ACCOUNT), (f"address {_network(address)}", ADDRESS)


def _network(address: str) -> str:
    """Whom an address stands for: of IPv6 everybody has a whole /64, so that is one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
