"""Sign-in (first party, JSON) and the change of a password.

The snapshot comes before the hash: a sign-in that was hashing the old password while it was changed holds a position
from before the change, so nothing that it gets would stand, and it gets nothing.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Annotated

from msgspec import Meta
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts import throttle
from watchword.authority.accounts.directory import User, find_user, read_user
from watchword.authority.accounts.passwords import normal
from watchword.authority.audit.record import record
from watchword.authority.authority import Authority
from watchword.authority.clients.registry import Client, Grant, prove_client, read_client
from watchword.authority.database import keep_row, lock_row
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_user
from watchword.authority.log.head import Head, read_head
from watchword.authority.mint import Tokens, mint_for_user
from watchword.authority.names import Label, TypedName
from watchword.authority.schema import clients, users
from watchword.authority.sessions.sessions import begin_session, read_session, ruling
from watchword.errors import Busy, InvalidField, NotFound, PasswordChangeRequired, SignInFailed

Password = Annotated[str, Meta(min_length=1, max_length=1024)]


class SignIn(Body, frozen=True):
    """Name and password, for one of a client's audiences; ``new_password`` where it must be changed."""

    username: TypedName
    password: Password
    client_id: str
    client_secret: str | None = None
    audience: str | None = None
    scope: str | None = None
    label: Label = ""
    new_password: Password | None = None

    def __repr__(self) -> str:
        return "SignIn(…)"


class PasswordChange(Body, frozen=True):
    """The password that is, and the one that shall be."""

    password: Password
    new_password: Password
    label: Label = ""

    def __repr__(self) -> str:
        return "PasswordChange(…)"


async def sign_in(authority: Authority, call: Call[SignIn]) -> Tokens:
    """Sign a user in and start a session on this device."""
    asked = call.input
    new_password = asked.new_password and _checked_new(authority, asked.new_password, asked.password)
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        client = await prove_client(connection, call.client_credentials())
        user = await find_user(connection, asked.username)
    client.check_grant(Grant.LOGIN)
    audience, scopes = client.audience(asked.audience), client.scope(asked.scope)
    async with authority.database.writing() as connection:
        await throttle.charge(connection, account=asked.username, address=call.address)
    right = await _verified(authority, call, asked.username, user, asked.password)
    if user is None or not right or user.disabled:
        await _failed(authority, call.address, user)
        raise SignInFailed("unknown user" if user is None else "disabled" if user.disabled else "wrong password")
    if new_password:
        hashed = await authority.hasher.hash(new_password)
        return await _change(authority, call, at, user, client, audience, scopes, hashed, asked.label)
    if user.must_change:
        async with authority.database.writing() as connection:
            await throttle.refund(connection, account=user.name, address=call.address)
        raise PasswordChangeRequired(f"{user.name} holds a one-time password")
    async with authority.database.writing() as connection:
        await throttle.refund(connection, account=user.name, address=call.address)
        await keep_row(connection, clients, client.id)
        await keep_row(connection, users, user.id)
        user, client = await _still(connection, at, user, client)
        session, signed = await _begin(
            authority, connection, at, user, client, audience, scopes, asked.label, call.address
        )
        await record(connection, "sign_in", actor=user.id, target=session, address=call.address)
    return await signed


async def change_password(authority: Authority, call: Call[PasswordChange]) -> Tokens:
    """Change my password: ends every session and answers with the tokens of a new one."""
    asked, caller = call.input, call.caller
    new_password = _checked_new(authority, asked.new_password, asked.password)
    async with authority.database.reading() as connection:
        at = await read_head(connection)
        user = await read_user(connection, caller.subject)
        client = await read_client(connection, caller.client or "")
        session = await read_session(connection, caller.session or "")
    if user is None or client is None or session is None:
        raise NotFound("only a signed-in user has a password")
    async with authority.database.writing() as connection:
        await throttle.charge(connection, account=user.name, address=call.address)
    if not await _verified(authority, call, user.name, user, asked.password):
        await _failed(authority, call.address, user)
        raise SignInFailed("wrong password")
    hashed = await authority.hasher.hash(new_password)
    label = asked.label or session.label
    return await _change(authority, call, at, user, client, authority.settings.issuer, session.scopes, hashed, label)


def _checked_new(authority: Authority, new_password: str, password: str) -> str:
    """The new password, if it may be one and is another than the old."""
    checked = authority.hasher.check_new(new_password, "new_password")
    if checked == normal(password):
        reason = "the new password is the old one"
        raise InvalidField(reason, field="new_password", reason=reason)
    return checked


async def _change(
    authority: Authority,
    call: Call[SignIn] | Call[PasswordChange],
    before: Head,
    user: User,
    client: Client,
    audience: str,
    scopes: frozenset[str],
    hashed: str,
    label: str,
) -> Tokens:
    """Write the new password, cut off all that came before it, and begin the one session that comes after."""
    async with authority.changing() as connection:
        await throttle.refund(connection, account=user.name, address=call.address)
        await keep_row(connection, clients, client.id)
        await lock_row(connection, users, user.id)
        user, client = await _still(connection, before, user, client)
        await connection.execute(update(users).where(users.c.id == user.id).values(password_hash=hashed, must_change=0))
        await cut_user(connection, user.id, "credentials_changed")
        at = await read_head(connection)
        _, signed = await _begin(authority, connection, at, user, client, audience, scopes, label, call.address)
        await record(connection, "change_password", actor=user.id, target=user.id, address=call.address)
    return await signed


async def _begin(
    authority: Authority,
    connection: AsyncConnection,
    at: Head,
    user: User,
    client: Client,
    audience: str,
    scopes: frozenset[str],
    label: str,
    address: str,
) -> tuple[str, Awaitable[Tokens]]:
    """Begin a session: its id, and its tokens, which are handed out once the session is committed."""
    key = await authority.keyring.current(connection)
    session, refresh = await begin_session(
        connection,
        user=user,
        client=client,
        audience=audience,
        scopes=scopes,
        position=at.position,
        now=at.now,
        label=label,
        address=address,
    )
    minted = partial(
        mint_for_user,
        authority.settings,
        key,
        at,
        user=user,
        client=client,
        audience=audience,
        scopes=scopes,
        session=session,
        refresh_token=refresh,
    )
    return session, authority.signing.sign(key, minted)


async def _still(connection: AsyncConnection, at: Head, user: User, client: Client) -> tuple[User, Client]:
    """User and client as they are now, if what was verified at that snapshot stands; `SignInFailed` otherwise."""
    user_now, client_now = await read_user(connection, user.id), await read_client(connection, client.id)
    if user_now is None or client_now is None:
        raise SignInFailed("deleted meanwhile")
    why = ruling(at.position, await read_head(connection), user_now, client_now)
    if why is not None:
        raise SignInFailed(f"{why} meanwhile")
    return user_now, client_now


async def _verified(
    authority: Authority, call: Call[SignIn] | Call[PasswordChange], name: str, user: User | None, password: str
) -> bool:
    """Whether the password is right. An attempt that nobody looked at is not charged."""
    try:
        return await authority.hasher.verify(user.password_hash if user else None, password)
    except Busy:
        async with authority.database.writing() as connection:
            await throttle.uncharge(connection, account=name, address=call.address)
        raise


async def _failed(authority: Authority, address: str, user: User | None) -> None:
    async with authority.database.writing() as connection:
        target = user.id if user else ""
        await record(connection, "sign_in", actor="", target=target, outcome="sign_in_failed", address=address)
