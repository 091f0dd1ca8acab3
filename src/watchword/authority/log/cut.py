"""Cutting off: each verb writes the entry for the guards and, where refresh tokens must die too, the row.

The row is locked first: after the log's head no lock is taken any more, or two changes could wait for one another.
"""

from sqlalchemy import Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.database import lock_row
from watchword.authority.log.head import append
from watchword.authority.schema import clients, entries, sessions, users
from watchword.core.cutoffs import Scope


async def cut_client(connection: AsyncConnection, client: str) -> int:
    """Everything that was issued to a client: its users' sessions, its own tokens and its data tokens."""
    await lock_row(connection, clients, client)
    number = await append(connection, Scope.CLIENT, client, "client_revoked")
    await connection.execute(update(clients).where(clients.c.id == client).values(cutoff=number))
    return number


async def cut_user(connection: AsyncConnection, user: str, reason: str) -> int:
    """All tokens and sessions of a user."""
    await lock_row(connection, users, user)
    number = await append(connection, Scope.USER, user, reason)
    await _stand(connection, users, user, number, reason)
    return number


async def cut_session(connection: AsyncConnection, session: str, reason: str = "session_ended") -> int:
    """The tokens of one sign-in on one device."""
    await lock_row(connection, sessions, session)
    number = await append(connection, Scope.SESSION, session, reason)
    await _stand(connection, sessions, session, number, reason)
    return number


async def cut_access_of_user(connection: AsyncConnection, user: str) -> int:
    """A user's access tokens, since the roles changed: the sessions live, and a refresh brings the new roles."""
    return await append(connection, Scope.USER, user, "roles_changed")


async def cut_access_of_client(connection: AsyncConnection, client: str) -> int:
    """The access tokens issued to a client that may do less now; the sessions live."""
    return await append(connection, Scope.CLIENT, client, "roles_changed")


async def cut_role(connection: AsyncConnection, role: str) -> int:
    """The access tokens that carry a role which was renamed or removed; the sessions live."""
    return await append(connection, Scope.ROLE, role, "roles_changed")


async def is_cut(connection: AsyncConnection, scope: Scope, identifier: str) -> bool:
    """Whether the log holds a cutoff of that scope and id: a second one would only make it grow."""
    query = select(entries.c.position).where(entries.c.scope == scope, entries.c.id == identifier).limit(1)
    return (await connection.execute(query)).first() is not None


async def cut_token(connection: AsyncConnection, token_id: str) -> int:
    """One token, by its ``jti``."""
    return await append(connection, Scope.TOKEN, token_id, "token_revoked")


async def _stand(connection: AsyncConnection, table: Table, identifier: str, number: int, reason: str) -> None:
    row = update(table).where(table.c.id == identifier)
    await connection.execute(row.values(cutoff=number, cutoff_reason=reason))
