"""Revokes for many at once: what is asked for while a transaction runs shares the next one.

A commit waits for the disk, and the log's head is one row: each in a transaction of its own, revocations would wait for
all those that came before them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

from sqlalchemy import Column, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.audit.record import Line, record_all
from watchword.authority.log.head import Entry, append_all
from watchword.authority.schema import clients, head, roles, sessions, users
from watchword.core.cutoffs import Position, Scope
from watchword.errors import NotFound, Refused

_MOST: Final = 256  # that share a transaction: the log's head is locked while their rows are written


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose tokens shall die, and who wants it from where. For everyone the id is empty."""

    scope: Scope
    id: str
    actor: str
    address: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What revoking one scope means: the reason, and where what it names is kept, if it is."""

    reason: str
    name: Column[str] | None = None


_KINDS: Final[Mapping[Scope, _Kind]] = MappingProxyType(
    {  # in the order in which rows are locked
        Scope.CLIENT: _Kind("client_revoked", clients.c.id),
        Scope.USER: _Kind("signed_out", users.c.id),
        Scope.SESSION: _Kind("session_ended", sessions.c.id),
        Scope.ROLE: _Kind("roles_changed", roles.c.name),
        Scope.TOKEN: _Kind("token_revoked"),  # the authority keeps no list of tokens: any id may be one
        Scope.EVERYONE: _Kind("everything_expired"),
    }
)


def reason_of(scope: Scope) -> str:
    """Why tokens die that somebody revokes by that scope: the code of the refusal that they get."""
    return _KINDS[scope].reason


@final
class Revoker:
    """One for each process. ``changing`` begins a transaction and tells everybody once it is committed."""

    def __init__(self, changing: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._changing = changing
        self._waiting: list[tuple[Wanted, asyncio.Future[Position]]] = []
        self._task: asyncio.Task[None] | None = None

    async def revoke(self, wanted: Wanted) -> Position:
        """Revoke, durably; where the log stands then. `NotFound` for what is not there."""
        done: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                if not await self._revoke(together):
                    for one in together:
                        await self._revoke([one])
        finally:
            self._task = None

    async def _revoke(self, together: Sequence[tuple[Wanted, asyncio.Future[Position]]]) -> bool:
        """Revoke in one transaction; False if it failed and each should be tried by itself, as one may be at fault."""
        try:
            async with self._changing() as connection:
                answers: Sequence[Position | Exception] = await _cut_all(connection, [wanted for wanted, _ in together])
        except Refused as refusal:
            if len(together) > 1 and refusal.status < 500:
                return False
            answers = [refusal] * len(together)
        except Exception as bug:  # noqa: BLE001 - those who asked have it; whoever waits behind them is next
            answers = [bug] * len(together)
        for (_, done), answer in zip(together, answers, strict=True):
            _settle(done, answer)
        return True


def _settle(done: asyncio.Future[Position], answer: Position | Exception) -> None:
    if done.done():  # whoever asked has left
        return
    if isinstance(answer, Position):
        done.set_result(answer)
    else:
        done.set_exception(answer)


async def _cut_all(connection: AsyncConnection, wanted: Sequence[Wanted]) -> list[Position | Refused]:
    """One entry for each that names something that is there; where the log stands after all of them."""
    there = {scope: await _there(connection, scope, wanted) for scope in _KINDS}
    stands = [_KINDS[one.scope].name is None or one.id in there[one.scope] for one in wanted]
    good = [one for one, is_there in zip(wanted, stands, strict=True) if is_there]
    if good:
        lines = [Line("revoke", one.actor, target=one.id, address=one.address, detail=one.detail) for one in good]
        await record_all(connection, lines)
        # Last of all: from here to the commit everybody who appends waits for us.
        after = await append_all(connection, [Entry(one.scope, one.id, _KINDS[one.scope].reason) for one in good])
        await _stand(connection, list(enumerate(good, after.number - len(good) + 1)))
    return [
        after if is_there else NotFound(f"no {one.scope} of that id")
        for one, is_there in zip(wanted, stands, strict=True)
    ]


async def _there(connection: AsyncConnection, scope: Scope, wanted: Sequence[Wanted]) -> frozenset[str]:
    """Which of the things named are there; they stay so until the transaction ends."""
    name, ids = _KINDS[scope].name, sorted({one.id for one in wanted if one.scope is scope})
    if name is None or not ids:
        return frozenset()
    query = select(name).where(name.in_(ids)).order_by(name).with_for_update(key_share=True)
    return frozenset((await connection.execute(query)).scalars())


async def _stand(connection: AsyncConnection, numbered: Sequence[tuple[int, Wanted]]) -> None:
    """Write the cutoffs on the rows that they concern, where they stand for ever."""
    for table, scope in ((clients, Scope.CLIENT), (users, Scope.USER), (sessions, Scope.SESSION)):
        rows: list[dict[str, Any]] = [
            {"revoked": one.id, "at_number": number} for number, one in numbered if one.scope is scope
        ]
        if rows:
            values: dict[str, Any] = {"cutoff": bindparam("at_number")}
            if "cutoff_reason" in table.c:
                values["cutoff_reason"] = _KINDS[scope].reason
            await connection.execute(update(table).where(table.c.id == bindparam("revoked")).values(**values), rows)
    everyone = [number for number, one in numbered if one.scope is Scope.EVERYONE]
    if everyone:
        await connection.execute(update(head).values(cutoff=everyone[-1]))
