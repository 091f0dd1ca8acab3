"""What signed-in users see and do about themselves: who am I, my sessions, sign out."""

import msgspec

from watchword.authority.accounts.directory import read_user
from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_session, cut_token, cut_user
from watchword.authority.log.head import read_head
from watchword.authority.schema import sessions
from watchword.authority.sessions.living import SessionShown, living, shown_session
from watchword.authority.sessions.sessions import lock_sessions, read_session
from watchword.errors import NotFound


class Me(msgspec.Struct, frozen=True):
    """The caller's own account."""

    id: str
    username: str
    display_name: str
    roles: list[str]
    session: str | None


class SessionList(msgspec.Struct, frozen=True):
    """The living sessions, the last used first."""

    items: list[SessionShown]


class SignOut(Body, frozen=True):
    """Whether to end every session of the user, or only this one."""

    everywhere: bool = False


async def me(authority: Authority, call: Call[None]) -> Me:
    """Who I am."""
    async with authority.database.reading() as connection:
        user = await read_user(connection, call.caller.subject)
    if user is None:
        raise NotFound("the caller is no user")
    return Me(user.id, user.name, user.display_name, sorted(user.roles), call.caller.session)


async def my_sessions(authority: Authority, call: Call[None]) -> SessionList:
    """My sessions: one for each device on which I am signed in."""
    async with authority.database.reading() as connection:
        at, user = await read_head(connection), await read_user(connection, call.caller.subject)
        if user is None:
            raise NotFound("the caller is no user")
        mine = living(at, authority.settings).where(sessions.c.user == user.id)
        rows = (await connection.execute(mine.order_by(sessions.c.used_at.desc(), sessions.c.id))).mappings().all()
    return SessionList([shown_session(row, call.caller.session) for row in rows])


async def end_my_session(authority: Authority, call: Call[None]) -> None:
    """End one of my sessions: that device's tokens die."""
    identifier = call.path("session")
    async with authority.changing() as connection:
        session = await read_session(connection, identifier, lock=True)
        if session is None or session.user != call.caller.subject or session.cutoff:
            raise NotFound("no session of the caller")
        await cut_session(connection, identifier)
        await record(connection, "end_session", actor=call.caller.subject, target=identifier, address=call.address)


async def end_my_other_sessions(authority: Authority, call: Call[None]) -> None:
    """End all my sessions but this one."""
    caller = call.caller
    async with authority.changing() as connection:
        others = (sessions.c.user == caller.subject, sessions.c.id != caller.session, sessions.c.cutoff == 0)
        for identifier in await lock_sessions(connection, *others):
            await cut_session(connection, identifier)
        await record(connection, "end_other_sessions", actor=caller.subject, address=call.address)


async def log_out(authority: Authority, call: Call[SignOut]) -> None:
    """Sign out: end this session, or with ``everywhere`` all of mine."""
    caller = call.caller
    async with authority.changing() as connection:
        if call.input.everywhere:
            await cut_user(connection, caller.subject, "signed_out")
        elif caller.session is not None:
            await cut_session(connection, caller.session)
        elif caller.token_id is not None:
            await cut_token(connection, caller.token_id)
        await record(connection, "log_out", actor=caller.subject, target=caller.session or "", address=call.address)
