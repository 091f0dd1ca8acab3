"""The signing keys' life: next (published), current (signs), retiring (verifies only), withdrawn (for ever).

Each verb is one entry of the log and leaves one current key and one next key, so that a key is always published
before it signs; only where a current key is withdrawn does the next one sign in the same commit.
"""

from collections.abc import Sequence
from math import ceil
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.authority import Authority
from watchword.authority.changes import note
from watchword.authority.database import clock
from watchword.authority.http import Call
from watchword.authority.keys.keyring import Keyring
from watchword.authority.keys.lead import lead_left
from watchword.authority.log.head import append, read_head
from watchword.authority.schema import keys
from watchword.core.feed import KEYS, KeyState
from watchword.core.keys import Key
from watchword.errors import Conflict, KeyTooNew, NotFound

CURRENT: Final[KeyState] = "current"
NEXT: Final[KeyState] = "next"
RETIRING: Final[KeyState] = "retiring"
WITHDRAWN: Final[KeyState] = "withdrawn"


class KeyShown(msgspec.Struct, frozen=True):
    """A signing key's name and state; ``changed_at`` is when it came to that. Times are seconds since 1970."""

    kid: str
    algorithm: str
    state: KeyState
    created_at: float
    changed_at: float


class KeyList(msgspec.Struct, frozen=True):
    """All signing keys there ever were."""

    items: list[KeyShown]


class KeysChanged(msgspec.Struct, frozen=True):
    """The keys after a change."""

    items: list[KeyShown]
    position: str


async def list_keys(authority: Authority, call: Call[None]) -> KeyList:  # noqa: ARG001
    """The signing keys and their states, the oldest first."""
    async with authority.database.reading() as connection:
        return KeyList(await _shown(connection))


async def rotate_keys(authority: Authority, call: Call[None]) -> KeysChanged:
    """Let the next key sign and the current one retire: what it signed still verifies."""
    fresh = await authority.keyring.generate()
    async with authority.administering() as connection:
        if seconds := ceil(await lead_left(connection, authority.settings)):
            raise KeyTooNew(f"{seconds} s are left", retry_after=seconds, wait_seconds=seconds)
        await rotate(connection, authority.keyring, fresh)
        position = await note(connection, call, "rotate_keys", fresh.kid)
        return KeysChanged(await _shown(connection), position)


async def withdraw_key(authority: Authority, call: Call[None]) -> KeysChanged:
    """Withdraw one key for ever: every token that it signed dies."""
    kid = call.path("kid")
    fresh = await authority.keyring.generate()
    async with authority.administering() as connection:
        await withdraw(connection, authority.keyring, kid, fresh)
        position = await note(connection, call, "withdraw_key", kid)
        return KeysChanged(await _shown(connection), position)


async def withdraw_all_keys(authority: Authority, call: Call[None]) -> KeysChanged:
    """Withdraw every key for ever and sign with a new one: every token there is dies, sessions live."""
    current, following = await authority.keyring.generate(), await authority.keyring.generate()
    async with authority.administering() as connection:
        await withdraw_all(connection, authority.keyring, current, following)
        position = await note(connection, call, "withdraw_all_keys")
        return KeysChanged(await _shown(connection), position)


async def rotate(connection: AsyncConnection, keyring: Keyring, fresh: Key) -> int:
    """current → retiring, next → current, ``fresh`` → next; the number of the one entry."""
    number, now = await append(connection, KEYS, fresh.kid, "keys_rotated"), await clock(connection)
    # A retiring key never signs again, so nothing is kept to sign with.
    retired = update(keys).where(keys.c.state == CURRENT)
    await connection.execute(retired.values(state=RETIRING, wrapped=None, changed_at=now))
    await _promote(connection, now)
    await keyring.add(connection, fresh, NEXT, now)
    return number


async def withdraw(connection: AsyncConnection, keyring: Keyring, kid: str, fresh: Key) -> int:
    """Withdraw a key; where it was current or next, ``fresh`` fills the gap. `NotFound`, `Conflict` if it is done."""
    state = (await connection.execute(select(keys.c.state).where(keys.c.kid == kid))).scalar_one_or_none()
    if state is None:
        raise NotFound("no key of that kid")
    if state == WITHDRAWN:
        raise Conflict("the key was withdrawn before")
    number, now = await append(connection, KEYS, kid, "key_withdrawn"), await clock(connection)
    await _withdraw(connection, keys.c.kid == kid, number, now)
    if state == CURRENT:
        await _promote(connection, now)
    if state in (CURRENT, NEXT):
        await keyring.add(connection, fresh, NEXT, now)
    return number


async def withdraw_all(connection: AsyncConnection, keyring: Keyring, current: Key, following: Key) -> int:
    """Withdraw every key and begin with two new ones; the number of the one entry."""
    number, now = await append(connection, KEYS, current.kid, "all_keys_withdrawn"), await clock(connection)
    await _withdraw(connection, keys.c.state != WITHDRAWN, number, now)
    await keyring.add(connection, current, CURRENT, now)
    await keyring.add(connection, following, NEXT, now)
    return number


async def expired(connection: AsyncConnection, margin: float) -> Sequence[str]:
    """The names of the keys that retired before the longest lifetime in force and ``margin`` seconds, the oldest first.

    A token that a key signed while it was about to retire was issued no later than a transaction takes.
    """
    at = await read_head(connection)
    past = keys.c.state == RETIRING, keys.c.changed_at < at.now - at.lifetime - margin
    query = select(keys.c.kid).where(*past).order_by(keys.c.changed_at, keys.c.kid)
    return (await connection.execute(query)).scalars().all()


async def drop(connection: AsyncConnection, kids: Sequence[str]) -> int:
    """Withdraw these keys, of which no token is alive; the number of the one entry."""
    number, now = await append(connection, KEYS, kids[0], "keys_dropped"), await clock(connection)
    await _withdraw(connection, keys.c.kid.in_(kids), number, now)
    return number


async def _promote(connection: AsyncConnection, now: float) -> None:
    await connection.execute(update(keys).where(keys.c.state == NEXT).values(state=CURRENT, changed_at=now))


async def _withdraw(connection: AsyncConnection, which: ColumnElement[bool], number: int, now: float) -> None:
    # The row stays for ever, and with it the name: a key that was withdrawn cannot be added again.
    gone = {"state": WITHDRAWN, "wrapped": None, "withdrawn": number, "changed_at": now}
    await connection.execute(update(keys).where(which).values(**gone))


async def _shown(connection: AsyncConnection) -> list[KeyShown]:
    query = select(keys.c.kid, keys.c.algorithm, keys.c.state, keys.c.created_at, keys.c.changed_at)
    rows = (await connection.execute(query.order_by(keys.c.created_at, keys.c.kid))).mappings()
    return [KeyShown(**row) for row in rows]
