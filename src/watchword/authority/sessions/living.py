"""The sessions that live, and their end by an administrator."""

from typing import Any

import msgspec
from sqlalchemy import RowMapping, Select, select

from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.database import plain
from watchword.authority.http import Call
from watchword.authority.log.cut import cut_session
from watchword.authority.log.head import Head, read_head
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import clients, sessions, users
from watchword.authority.sessions.sessions import read_session
from watchword.authority.settings import Settings
from watchword.errors import NotFound

_DAY = 86400.0


class SessionShown(msgspec.Struct, frozen=True):
    """One sign-in on one device. Times are seconds since 1970."""

    id: str
    user: str
    client: str
    audience: str
    label: str
    address: str
    created_at: float
    used_at: float
    current: bool = False


class SessionQuery(Paged, frozen=True):
    """Which sessions: of that user, of that client."""

    user: str = ""
    client: str = ""


async def list_sessions(authority: Authority, call: Call[SessionQuery]) -> PageOf[SessionShown]:
    """The living sessions, the newest first."""
    asked = call.input
    async with authority.database.reading() as connection:
        query = living(await read_head(connection), authority.settings)
        if asked.user:
            query = query.where(sessions.c.user == asked.user)
        if asked.client:
            query = query.where(sessions.c.client == asked.client)
        rows, following = await read_page(
            connection, query, asked, sessions.c.created_at, sessions.c.id, newest_first=True
        )
    return PageOf([shown_session(row, call.caller.session) for row in rows], following)


async def end_session(authority: Authority, call: Call[None]) -> Changed:
    """End one session: that device's tokens die."""
    identifier = call.path("session")
    async with authority.changing() as connection:
        session = await read_session(connection, identifier, lock=True)
        if session is None or session.cutoff:
            raise NotFound("no session of that id, or it has ended")
        await cut_session(connection, identifier)
        return Changed(await note(connection, call, "end_session", identifier))


def living(at: Head, settings: Settings) -> Select[Any]:
    """The sessions that a refresh token would still be honoured for: the same facts that `ruling` judges by."""
    idle, whole = settings.refresh_days * _DAY, settings.session_days * _DAY
    return (
        select(sessions)
        .join(users, users.c.id == sessions.c.user)
        .join(clients, clients.c.id == sessions.c.client)
        .where(
            sessions.c.epoch == at.epoch,
            sessions.c.number >= at.cutoff,
            sessions.c.number >= users.c.cutoff,
            sessions.c.number >= clients.c.cutoff,
            sessions.c.cutoff == 0,
            users.c.disabled == 0,
            clients.c.disabled == 0,
            sessions.c.used_at > at.now - idle,
            sessions.c.created_at > at.now - whole,
        )
    )


def shown_session(row: RowMapping, current: str | None = None) -> SessionShown:
    """A session's row as it is shown; ``current`` is the session of the caller."""
    return msgspec.convert(plain(row) | {"current": row["id"] == current}, SessionShown)
