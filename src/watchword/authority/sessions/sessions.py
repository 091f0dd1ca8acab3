"""Sessions: one sign-in on one device, with the position of the credential that began it."""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import User
from watchword.authority.clients.registry import Client, hash_secret
from watchword.authority.database import Now, lock_row
from watchword.authority.engines.inline import Row
from watchword.authority.engines.prepared import Prepared, labelled, slot
from watchword.authority.log.head import Head, new_id, standing
from watchword.authority.schema import refresh_tokens, sessions
from watchword.core.cutoffs import Cutoff, Position, Scope, judge


class Session(msgspec.Struct, frozen=True):
    """A session's row. ``position`` is where the credential was read, before it was verified."""

    id: str
    user: str
    client: str
    audience: str
    scopes: frozenset[str]
    label: str
    address: str
    created_at: float
    used_at: float
    position: Position
    cutoff: int
    cutoff_reason: str

    @property
    def cut(self) -> Cutoff | None:
        """The cutoff that stands on this session for ever."""
        return standing(self.cutoff, Scope.SESSION, self.id, self.cutoff_reason)


def ruling(position: Position, at: Head, user: User, client: Client, session: Session | None = None) -> str | None:
    """Why a credential read at ``position`` stands no more, as a code, or None if it stands.

    The same one function that guards judge tokens with; here the cutoffs come from the rows that they stand on.
    """
    if position.epoch != at.epoch:
        return "former_epoch"
    if user.disabled:
        return "user_disabled"
    if client.disabled:
        return "client_revoked"
    cutoff = judge(position.number, (at.everyone, client.cut, user.cut, session.cut if session else None))
    return cutoff.reason if cutoff else None


async def begin_session(
    connection: AsyncConnection,
    *,
    user: User,
    client: Client,
    audience: str,
    scopes: frozenset[str],
    position: Position,
    now: float,
    label: str,
    address: str,
) -> tuple[str, str]:
    """Write a new session and its first refresh token; the session's id and the token."""
    session, token = f"s_{new_id()}", "wwr_" + secrets.token_urlsafe(32)
    await connection.execute(
        insert(sessions).values(
            id=session,
            user=user.id,
            client=client.id,
            audience=audience,
            scope=" ".join(sorted(scopes)),
            label=label,
            address=address,
            created_at=now,
            used_at=now,
            epoch=position.epoch,
            number=position.number,
        )
    )
    await connection.execute(insert(refresh_tokens).values(hash=hash_secret(token), session=session, created_at=now))
    return session, token


SESSION: Final = labelled("session", sessions)
"""The columns that `session_of` makes a `Session` of."""
_READ: Final = Prepared(select(*SESSION).where(sessions.c.id == slot("session")))


async def read_session(connection: AsyncConnection, identifier: str, *, lock: bool = False) -> Session | None:
    """The session of that id, as it is now; with ``lock`` it stays so until the transaction ends."""
    if lock:
        await lock_row(connection, sessions, identifier)
    row = await _READ.row(connection, session=identifier)
    return session_of(row) if row else None


def session_of(row: Row) -> Session | None:
    """The session from a row with its columns; None if there is none in it."""
    if row["session_id"] is None:
        return None
    return Session(
        row["session_id"],
        row["session_user"],
        row["session_client"],
        row["session_audience"],
        frozenset(row["session_scope"].split()),
        row["session_label"],
        row["session_address"],
        row["session_created_at"],
        row["session_used_at"],
        Position(row["session_epoch"], row["session_number"]),
        row["session_cutoff"],
        row["session_cutoff_reason"],
    )


async def lock_sessions(connection: AsyncConnection, *which: ColumnElement[bool]) -> Sequence[str]:
    """Let nobody else change these sessions until the transaction ends; their ids.

    One after the other in the order of their ids, or two who lock several would wait for one another.
    """
    query = select(sessions.c.id).where(*which).order_by(sessions.c.id).with_for_update(key_share=True)
    return (await connection.execute(query)).scalars().all()


async def carry_over(connection: AsyncConnection, old: str, new: str) -> None:
    """Let the sessions of an epoch stand in the next, which goes on counting: cutoffs on rows stay comparable."""
    await lock_sessions(connection, sessions.c.epoch == old)
    await connection.execute(update(sessions).where(sessions.c.epoch == old).values(epoch=new))


async def forget_over(connection: AsyncConnection, longest: float) -> None:
    """Remove sessions, and their refresh tokens with them, that are older than ``longest`` seconds."""
    await connection.execute(delete(sessions).where(sessions.c.created_at < Now() - longest))
