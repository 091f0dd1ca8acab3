"""``watchword client`` and ``watchword audience``: who asks for tokens, and who takes them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from watchword.cli.api import given, path
from watchword.cli.options import Group, State, confirm, paged, pass_state, yes_option

_COLUMNS: Final = ("id", "name", "grants", "audiences", "scope", "lifetime", "roles", "public", "disabled")
_GRANTS: Final = "login, client_credentials, data or feed; may be repeated."
_Function = TypeVar("_Function", bound=Callable[..., Any])


@click.group("audience", cls=Group)
def audiences() -> None:
    """The services that take tokens."""


@audiences.command("list")
@paged()
@pass_state
def list_audiences(state: State, limit: int | None, after: str | None) -> None:
    """List the audiences."""
    with state.api() as api:
        state.show.listed(api.pages(path("audiences"), limit, after), ("name", "created_at"))


@audiences.command("add")
@click.argument("name")
@pass_state
def add_audience(state: State, name: str) -> None:
    """Add an audience."""
    with state.api() as api:
        answer = api.call("POST", path("audiences"), body={"name": name})
    state.show.done(answer, f"audience {name} added")


@audiences.command("delete")
@click.argument("name")
@pass_state
def delete_audience(state: State, name: str) -> None:
    """Delete an audience that no client names any more."""
    with state.api() as api:
        answer = api.call("DELETE", path("audiences"), query={"name": name})
    state.show.done(answer, f"audience {name} deleted")


@click.group("client", cls=Group)
def clients() -> None:
    """The applications and services that ask for tokens."""


@clients.command("list")
@paged()
@pass_state
def list_clients(state: State, limit: int | None, after: str | None) -> None:
    """List the clients."""
    with state.api() as api:
        state.show.listed(api.pages(path("clients"), limit, after), _COLUMNS)


def _shared_options(function: _Function) -> _Function:
    """What is said of a client when it is added and when it is changed."""
    for option in (
        click.option("--role", "roles", multiple=True, help="A role of its own tokens; may be repeated."),
        click.option("--lifetime", type=click.IntRange(1), metavar="SECONDS", help="How long its access tokens live."),
        click.option("--scope", "scopes", multiple=True, help="A scope that it may ask for; may be repeated."),
        click.option("--audience", "audiences", multiple=True, help="An audience that it may name; may be repeated."),
        click.option("--grant", "grants", multiple=True, help=_GRANTS),
        click.option("--name", help="How people call it."),
    ):
        function = option(function)
    return function


@clients.command("add")
@click.argument("identifier", metavar="ID")
@_shared_options
@click.option("--public", is_flag=True, help="It can keep no secret, as a page in a browser cannot: it gets none.")
@pass_state
def add_client(state: State, /, identifier: str, public: bool, audiences: Sequence[str], **options: Any) -> None:
    """Add a client. Its secret is made here and shown once."""
    if not options["grants"]:
        raise click.UsageError("Say what it may do: --grant.")
    body = _said(**options) | {"id": identifier, "audiences": list(audiences), "public": public}
    with state.api() as api:
        answer = api.call("POST", path("clients"), body=body)
    state.show.done(answer, f"client {identifier} added")


@clients.command("show")
@click.argument("identifier", metavar="ID")
@pass_state
def show_client(state: State, identifier: str) -> None:
    """Show a client."""
    with state.api() as api:
        state.show.record(api.call("GET", path("clients", identifier)))


@clients.command("change")
@click.argument("identifier", metavar="ID")
@_shared_options
@click.option("--no-audiences", is_flag=True, help="It may name no audience.")
@click.option("--no-scopes", is_flag=True, help="It may ask for no scope.")
@click.option("--no-roles", is_flag=True, help="Its own tokens carry no role.")
@click.option("--default-lifetime", is_flag=True, help="Its access tokens live as long as others.")
@pass_state
def change_client(
    state: State,
    /,
    identifier: str,
    no_audiences: bool,
    no_scopes: bool,
    no_roles: bool,
    default_lifetime: bool,
    **options: Any,
) -> None:
    """Change a client. A list that is given takes the place of the whole list that there was."""
    body = _said(**options)
    emptied = {"audiences": (no_audiences, []), "scope": (no_scopes, ""), "roles": (no_roles, [])}
    for name, (wanted, nothing) in (emptied | {"lifetime": (default_lifetime, None)}).items():
        if wanted and name in body:
            raise click.UsageError(f"{name}: either something or nothing.")
        if wanted:
            body[name] = nothing
    if not body:
        raise click.UsageError("Say what to change.")
    with state.api() as api:
        answer = api.call("PATCH", path("clients", identifier), body=body)
    state.show.done(answer, f"client {identifier} changed")


@clients.command("secret")
@click.argument("identifier", metavar="ID")
@pass_state
def change_secret(state: State, identifier: str) -> None:
    """Give a client a new secret, shown once. The old one and all that it brought end now."""
    _done(state, identifier, "secret", f"client {identifier} has a new secret")


@clients.command("disable")
@click.argument("identifier", metavar="ID")
@pass_state
def disable_client(state: State, identifier: str) -> None:
    """Shut a client out: its tokens and the sessions that it began end now."""
    _done(state, identifier, "disable", f"client {identifier} disabled")


@clients.command("enable")
@click.argument("identifier", metavar="ID")
@pass_state
def enable_client(state: State, identifier: str) -> None:
    """Let a client in again. What was issued before stays dead."""
    _done(state, identifier, "enable", f"client {identifier} enabled")


@clients.command("delete")
@click.argument("identifier", metavar="ID")
@yes_option
@pass_state
def delete_client(state: State, identifier: str, yes: bool) -> None:
    """Delete a client: its tokens and the sessions that it began end now."""
    confirm(f"Delete the client {identifier} and end what it was given?", yes=yes)
    with state.api() as api:
        answer = api.call("DELETE", path("clients", identifier))
    state.show.done(answer, f"client {identifier} deleted")


def _done(state: State, identifier: str, verb: str, sentence: str) -> None:
    with state.api() as api:
        answer = api.call("POST", path("clients", identifier, verb))
    state.show.done(answer, sentence)


def _said(
    *,
    name: str | None,
    grants: Sequence[str],
    scopes: Sequence[str],
    lifetime: int | None,
    roles: Sequence[str],
    audiences: Sequence[str] = (),
) -> dict[str, Any]:
    """What was said of a client; a list that was not given is not mentioned."""
    return given(
        name=name,
        grants=list(grants) or None,
        audiences=list(audiences) or None,
        scope=" ".join(scopes) or None,
        lifetime=lifetime,
        roles=list(roles) or None,
    )
