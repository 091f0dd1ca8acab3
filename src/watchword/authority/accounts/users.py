"""Users, as an administrator lists, adds, changes and removes them."""

import json
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.authority.accounts.directory import (
    User,
    check_not_last_administrator,
    find_user,
    known_user,
    new_user_id,
)
from watchword.authority.accounts.passwords import one_time_password
from watchword.authority.accounts.roles import check_roles, write_user_roles
from watchword.authority.authority import Authority
from watchword.authority.changes import Changed, note
from watchword.authority.database import Now, gathered, lock_row
from watchword.authority.http import Body, Call
from watchword.authority.log.cut import cut_user
from watchword.authority.names import DisplayName, RoleNames, UserName
from watchword.authority.paging import Paged, PageOf, read_page
from watchword.authority.schema import sessions, user_roles, users
from watchword.authority.sessions.sessions import lock_sessions
from watchword.core.encoding import json_encode
from watchword.errors import Conflict, InvalidField

MAX_CLAIMS_BYTES: Final = 4096

NewPassword = Annotated[str, Meta(min_length=1, max_length=1024)]


class UserShown(msgspec.Struct, frozen=True):
    """A user. ``id`` is what tokens name and is never used again; times are seconds since 1970."""

    id: str
    username: str
    display_name: str
    roles: list[str]
    disabled: bool
    must_change: bool
    claims: dict[str, Any]
    created_at: float


class UserChanged(msgspec.Struct, frozen=True):
    """A user after a change. ``one_time_password`` is shown this once and must be changed at the first sign-in."""

    user: UserShown
    position: str
    one_time_password: str | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"UserChanged(user={self.user.id!r})"


class UserQuery(Paged, frozen=True):
    """Which users: of exactly that name, or of names that begin so."""

    username: Annotated[str, Meta(max_length=128)] = ""
    search: Annotated[str, Meta(max_length=128)] = ""


class NewUser(Body, frozen=True):
    """A user to add. Without a password a one-time one is made."""

    username: UserName
    password: NewPassword | None = None
    display_name: DisplayName = ""
    roles: RoleNames = msgspec.field(default_factory=list)
    claims: dict[str, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"NewUser(username={self.username!r})"


class UserChange(Body, frozen=True):
    """What to change; what is left out stays."""

    display_name: DisplayName | UnsetType = UNSET
    claims: dict[str, Any] | UnsetType = UNSET


async def list_users(authority: Authority, call: Call[UserQuery]) -> PageOf[UserShown]:
    """The users, by name."""
    asked, query = call.input, select(users)
    if asked.username:
        query = query.where(users.c.name == asked.username)
    if asked.search:
        query = query.where(users.c.name.startswith(asked.search, autoescape=True))
    async with authority.database.reading() as connection:
        rows, following = await read_page(connection, query, asked, users.c.name)
        held = await gathered(connection, user_roles.c.user, user_roles.c.role, [row["id"] for row in rows])
    items = [
        UserShown(
            row["id"],
            row["name"],
            row["display_name"],
            held.get(row["id"], []),
            bool(row["disabled"]),
            bool(row["must_change"]),
            json.loads(row["claims"]),
            row["created_at"],
        )
        for row in rows
    ]
    return PageOf(items, following)


async def show_user(authority: Authority, call: Call[None]) -> UserShown:
    """One user, by id."""
    async with authority.database.reading() as connection:
        return shown_user(await known_user(connection, call.path("user")))


async def add_user(authority: Authority, call: Call[NewUser]) -> UserChanged:
    """Add a user, with a one-time password where none is given."""
    asked = call.input
    claims = _check_claims(authority, asked.claims)
    once, hashed = await new_password(authority, asked.password)
    async with authority.administering() as connection:
        if await find_user(connection, asked.username) is not None:
            raise Conflict("a user of that name exists", field="username")
        roles = await check_roles(connection, asked.roles)
        identifier = new_user_id()
        row = {"id": identifier, "name": asked.username, "display_name": asked.display_name, "claims": claims}
        secret = {"password_hash": hashed, "must_change": int(asked.password is None)}
        await connection.execute(insert(users).values(**row, **secret, created_at=Now()))
        await write_user_roles(connection, identifier, roles)
        return await user_changed(connection, call, "add_user", identifier, once)


async def change_user(authority: Authority, call: Call[UserChange]) -> UserChanged:
    """Change a user's display name or claims; tokens carry new claims from the next refresh on."""
    asked, values = call.input, dict[str, str]()
    if asked.display_name is not UNSET:
        values["display_name"] = asked.display_name
    if asked.claims is not UNSET:
        values["claims"] = _check_claims(authority, asked.claims)
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        if values:
            await connection.execute(update(users).where(users.c.id == user.id).values(**values))
        return await user_changed(connection, call, "change_user", user.id, detail=" ".join(values))


async def delete_user(authority: Authority, call: Call[None]) -> Changed:
    """Delete a user with all sessions; every token dies, also for a later user of the same name."""
    async with authority.administering() as connection:
        user = await known_user(connection, call.path("user"))
        await check_not_last_administrator(connection, user)
        await lock_row(connection, users, user.id, whole=True)
        await lock_sessions(connection, sessions.c.user == user.id)
        await connection.execute(delete(users).where(users.c.id == user.id))
        await cut_user(connection, user.id, "user_deleted")
        return Changed(await note(connection, call, "delete_user", user.id, user.name))


async def new_password(authority: Authority, given: str | None) -> tuple[str | UnsetType, str]:
    """The one-time password to show, where none is given, and the hash of whichever it is."""
    if given is None:
        once = one_time_password()
        return once, await authority.hasher.hash(once)
    return UNSET, await authority.hasher.hash(authority.hasher.check_new(given, "password"))


async def user_changed(
    connection: AsyncConnection,
    call: Call[Any],
    action: str,
    identifier: str,
    once: str | UnsetType = UNSET,
    detail: str = "",
) -> UserChanged:
    """Write the change's audit line; the user as the transaction leaves them."""
    position = await note(connection, call, action, identifier, detail)
    return UserChanged(shown_user(await known_user(connection, identifier)), position, once)


def shown_user(user: User) -> UserShown:
    """A user as administrators see them: no hash, no cutoff."""
    return UserShown(
        user.id,
        user.name,
        user.display_name,
        sorted(user.roles),
        user.disabled,
        user.must_change,
        user.claims,
        user.created_at,
    )


def _check_claims(authority: Authority, claims: dict[str, Any]) -> str:
    """The claims as they are kept; `InvalidField` for what no token will carry."""
    kept, reason = json_encode(claims), ""
    if len(kept) > MAX_CLAIMS_BYTES:
        reason = f"the claims are over {MAX_CLAIMS_BYTES} bytes"
    if not claims.keys() <= set(authority.settings.claims):
        reason = "a name is not among the setting claims"
    if reason:
        raise InvalidField(reason, field="claims", reason=reason)
    return kept.decode()
