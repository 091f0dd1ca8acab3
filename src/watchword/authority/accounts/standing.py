"""What an administrator does about a user's standing: roles, disable, enable, sign out, and a new password."""

from sqlalchemy import update

from watchword.authority.accounts import throttle
from watchword.authority.accounts.directory import ADMINISTRATOR, check_not_last_administrator, known_user
from watchword.authority.accounts.roles import check_roles, write_user_roles
from watchword.authority.accounts.users import NewPassword, UserChanged, new_password, user_changed
from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_access_of_user, cut_user
from watchword.authority.names import RoleNames
from watchword.authority.schema import users


class PasswordReset(Body, frozen=True):
    """The new password, to be changed at the next sign-in; without one, a one-time password is made."""

    password: NewPassword | None = None

    def __repr__(self) -> str:
        return "PasswordReset(…)"


class UserRoles(Body, frozen=True):
    """All the roles that the user shall have."""

    roles: RoleNames


async def set_user_roles(authority: Authority, call: Call[UserRoles]) -> UserChanged:
    """Give a user exactly these roles: older tokens die, and a refresh brings the new roles."""
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        roles = await check_roles(connection, call.input.roles)
        if ADMINISTRATOR not in roles:
            await check_not_last_administrator(connection, user)
        if roles != user.roles:
            await write_user_roles(connection, user.id, roles)
            await cut_access_of_user(connection, user.id)
        return await user_changed(connection, call, "set_user_roles", user.id, detail=" ".join(sorted(roles)))


async def disable_user(authority: Authority, call: Call[None]) -> UserChanged:
    """Disable a user: every token and session dies, and nobody signs in until the user is enabled."""
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        await check_not_last_administrator(connection, user)
        await connection.execute(update(users).where(users.c.id == user.id).values(disabled=1))
        await cut_user(connection, user.id, "user_disabled")
        return await user_changed(connection, call, "disable_user", user.id)


async def enable_user(authority: Authority, call: Call[None]) -> UserChanged:
    """Let a disabled user sign in again; what was issued before stays dead."""
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        await connection.execute(update(users).where(users.c.id == user.id).values(disabled=0))
        return await user_changed(connection, call, "enable_user", user.id)


async def sign_out_user(authority: Authority, call: Call[None]) -> Changed:
    """End every session of a user, on all devices."""
    async with authority.changing() as connection:
        user = await known_user(connection, call.path("user"))
        await cut_user(connection, user.id, "signed_out")
        return Changed(await note(connection, call, "sign_out_user", user.id))


async def reset_password(authority: Authority, call: Call[PasswordReset]) -> UserChanged:
    """Give a user a new password: all sessions end, and delays after failed attempts are forgotten."""
    once, hashed = await new_password(authority, call.input.password)
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        await throttle.forgive(connection, user.name)
        await connection.execute(update(users).where(users.c.id == user.id).values(password_hash=hashed, must_change=1))
        await cut_user(connection, user.id, "credentials_changed")
        return await user_changed(connection, call, "reset_password", user.id, once)
