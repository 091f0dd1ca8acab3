"""``watchword role``: the names of what callers may be."""

import click

from watchword.cli.api import given, path
from watchword.cli.options import Group, State, confirm, paged, pass_state, yes_option


@click.group("role", cls=Group)
def roles() -> None:
    """What callers may be."""


@roles.command("list")
@paged()
@pass_state
def list_roles(state: State, limit: int | None, after: str | None) -> None:
    """List the roles."""
    with state.api() as api:
        state.show.listed(api.pages(path("roles"), limit, after), ("name", "description"))


@roles.command("add")
@click.argument("name")
@click.option("--description", help="What it is for.")
@pass_state
def add_role(state: State, name: str, description: str | None) -> None:
    """Add a role."""
    with state.api() as api:
        answer = api.call("POST", path("roles"), body=given(name=name, description=description))
    state.show.done(answer, f"role {name} added")


@roles.command("rename")
@click.argument("name")
@click.argument("new_name")
@pass_state
def rename_role(state: State, name: str, new_name: str) -> None:
    """Rename a role. Tokens with the old name are refused from now on, until they are refreshed."""
    with state.api() as api:
        answer = api.call("POST", path("roles", name, "rename"), body={"name": new_name})
    state.show.done(answer, f"role {name} renamed to {new_name}")


@roles.command("delete")
@click.argument("name")
@yes_option
@pass_state
def delete_role(state: State, name: str, yes: bool) -> None:
    """Delete a role and take it from all who have it. Tokens with it are refused from now on, until refreshed."""
    confirm(f"Delete the role {name} and take it from all who have it?", yes=yes)
    with state.api() as api:
        answer = api.call("DELETE", path("roles", name))
    state.show.done(answer, f"role {name} deleted")
