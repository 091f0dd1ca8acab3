"""``watchword client`` and ``watchword audience``: who asks for tokens, and who takes them."""

from collections.abc import Sequence
from typing import Any

import click

from watchword.cli.api import path
from watchword.cli.options import Group, State, confirm, paged, pass_state, yes_option

_COLUMNS = ("id", "name", "grants", "audiences", "scope", "lifetime", "roles", "public", "disabled")
_GRANTS = "login, client_credentials, data or feed; may be repeated."


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


@clients.command("add")
@click.argument("identifier", metavar="ID")
@click.option("--name", help="How people call it.")
@click.option("--grant", "grants", multiple=True, required=True, help=_GRANTS)
@click.option("--audience", "audiences", multiple=True, help="An audience that it may name; may be repeated.")
@click.option("--scope", "scopes", multiple=True, help="A scope that it may ask for; may be repeated.")
@click.option("--lifetime", type=click.IntRange(1), metavar="SECONDS", help="How long its access tokens live.")
@click.option("--role", "roles", multiple=True, help="A role of its own tokens; may be repeated.")
@click.option("--public", is_flag=True, help="It can keep no secret, as a page in a browser cannot: it gets none.")
@pass_state
def add_client(
    state: State,
    identifier: str,
    name: str | None,
    grants: Sequence[str],
    audiences: Sequence[str],
    scopes: Sequence[str],
    lifetime: int | None,
    roles: Sequence[str],
    public: bool,
) -> None:
    """Add a client. Its secret is made here and shown once."""
    body = _changes(name, grants, audiences, scopes, lifetime, roles)
    body |= {"id": identifier, "grants": list(grants), "audiences": list(audiences), "public": public}
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
@click.option("--name", help="How people call it.")
@click.option("--grant", "grants", multiple=True, help=_GRANTS)
@click.option("--audience", "audiences", multiple=True, help="An audience that it may name; may be repeated.")
@click.option("--scope", "scopes", multiple=True, help="A scope that it may ask for; may be repeated.")
@click.option("--lifetime", type=click.IntRange(1), metavar="SECONDS", help="How long its access tokens live.")
@click.option("--role", "roles", multiple=True, help="A role of its own tokens; may be repeated.")
@pass_state
def change_client(
    state: State,
    identifier: str,
    name: str | None,
    grants: Sequence[str],
    audiences: Sequence[str],
    scopes: Sequence[str],
    lifetime: int | None,
    roles: Sequence[str],
) -> None:
    """Change a client. A list that is given takes the place of the whole list that there was."""
    body = _changes(name, grants, audiences, scopes, lifetime, roles)
    if all(value is None for value in body.values()):
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


def _changes(
    name: str | None,
    grants: Sequence[str],
    audiences: Sequence[str],
    scopes: Sequence[str],
    lifetime: int | None,
    roles: Sequence[str],
) -> dict[str, Any]:
    return {
        "name": name,
        "grants": list(grants) or None,
        "audiences": list(audiences) or None,
        "scope": " ".join(scopes) or None,
        "lifetime": lifetime,
        "roles": list(roles) or None,
    }
