"""``watchword user``: the people who sign in."""

import json
from collections.abc import Sequence
from typing import Any

import click

from watchword.cli.api import given, path
from watchword.cli.options import (
    Group,
    State,
    chosen_password,
    confirm,
    paged,
    pass_state,
    password_options,
    yes_option,
)

_COLUMNS = ("username", "display_name", "roles", "disabled", "must_change", "created_at", "id")


@click.group("user", cls=Group)
def users() -> None:
    """The people who sign in."""


@users.command("list")
@click.option("--search", metavar="PREFIX", help="Only names that begin so.")
@paged()
@pass_state
def list_users(state: State, search: str | None, limit: int | None, after: str | None) -> None:
    """List the users."""
    with state.api() as api:
        state.show.listed(api.pages(path("users"), limit, after, search=search), _COLUMNS)


@users.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role that the user gets; may be repeated.")
@click.option("--display-name", help="How people call the user.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="An own claim; VALUE is JSON or a text.")
@password_options
@pass_state
def add_user(
    state: State,
    name: str,
    roles: Sequence[str],
    display_name: str | None,
    claims: Sequence[str],
    ask_password: bool,
    password_stdin: bool,
) -> None:
    """Add a user. Without a password a one-time password is made and shown."""
    password = chosen_password(state, ask=ask_password, stdin=password_stdin)
    body = given(username=name, password=password, display_name=display_name, roles=list(roles), claims=_claims(claims))
    with state.api() as api:
        answer = api.call("POST", path("users"), body=body)
    state.show.done(answer, f"user {name} added")


@users.command("show")
@click.argument("name")
@pass_state
def show_user(state: State, name: str) -> None:
    """Show a user."""
    with state.api() as api:
        state.show.record(api.call("GET", path("users", api.user(name)["id"])))


@users.command("change")
@click.argument("name")
@click.option("--display-name", help="How people call the user.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="An own claim, in place of all there are.")
@click.option("--no-claims", is_flag=True, help="Take all own claims away.")
@pass_state
def change_user(state: State, name: str, display_name: str | None, claims: Sequence[str], no_claims: bool) -> None:
    """Change a user's display name or own claims."""
    body = given(display_name=display_name, claims={} if no_claims else _claims(claims))
    if not body:
        raise click.UsageError("Say what to change: --display-name, --claim or --no-claims.")
    with state.api() as api:
        answer = api.call("PATCH", path("users", api.user(name)["id"]), body=body)
    state.show.done(answer, f"user {name} changed")


@users.command("roles")
@click.argument("name")
@click.argument("roles", nargs=-1)
@click.option("--none", "no_roles", is_flag=True, help="Take all roles away.")
@pass_state
def set_roles(state: State, name: str, roles: Sequence[str], no_roles: bool) -> None:
    """Give a user exactly these roles. Tokens with other roles are refused from now on, until they are refreshed."""
    if bool(roles) is no_roles:
        raise click.UsageError("Name the roles that the user shall have, or --none.")
    with state.api() as api:
        answer = api.call("PUT", path("users", api.user(name)["id"], "roles"), body={"roles": list(roles)})
    state.show.done(answer, f"user {name} has the roles {', '.join(roles)}" if roles else f"user {name} has no role")


@users.command("disable")
@click.argument("name")
@pass_state
def disable_user(state: State, name: str) -> None:
    """Shut a user out: every token and session ends, and no sign-in succeeds."""
    _done(state, name, "disable", f"user {name} disabled")


@users.command("enable")
@click.argument("name")
@pass_state
def enable_user(state: State, name: str) -> None:
    """Let a user sign in again. What was issued before stays dead."""
    _done(state, name, "enable", f"user {name} enabled")


@users.command("reset-password")
@click.argument("name")
@password_options
@pass_state
def reset_password(state: State, name: str, ask_password: bool, password_stdin: bool) -> None:
    """Give a user another password, to be changed at the next sign-in; every token and session ends.

    Without a password a one-time password is made and shown. On the authority's own machine this lets an administrator
    in again who was locked out.
    """
    body = given(password=chosen_password(state, ask=ask_password, stdin=password_stdin))
    _done(state, name, "reset-password", f"password of {name} reset", body)


@users.command("sign-out")
@click.argument("name")
@pass_state
def sign_out(state: State, name: str) -> None:
    """End every session of a user, on all devices."""
    _done(state, name, "sign-out", f"user {name} signed out everywhere")


@users.command("delete")
@click.argument("name")
@yes_option
@pass_state
def delete_user(state: State, name: str, yes: bool) -> None:
    """Delete a user for ever. A new user of the same name is another one."""
    confirm(f"Delete {name} for ever?", yes=yes)
    with state.api() as api:
        answer = api.call("DELETE", path("users", api.user(name)["id"]))
    state.show.done(answer, f"user {name} deleted")


def _done(state: State, name: str, verb: str, sentence: str, body: dict[str, Any] | None = None) -> None:
    with state.api() as api:
        answer = api.call("POST", path("users", api.user(name)["id"], verb), body=body)
    state.show.done(answer, sentence)


def _claims(given: Sequence[str]) -> dict[str, Any] | None:
    claims: dict[str, Any] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not name or not equals or name in claims:
            raise click.UsageError("--claim is NAME=VALUE, each name once.")
        try:
            claims[name] = json.loads(text)
        except ValueError:
            claims[name] = text
    return claims or None
