"""``watchword audit``: who did what to whom."""

import click

from watchword.cli.api import path
from watchword.cli.options import Command, State, paged, pass_state


@click.command("audit", cls=Command)
@click.option("--actor", help="Only what this one did: a user's id, a client's, or operator.")
@click.option("--action", help="Only this: sign_in, change_password, ...")
@click.option("--target", help="Only what was done to this one: an id.")
@paged(100)
@pass_state
def audit(
    state: State, actor: str | None, action: str | None, target: str | None, limit: int | None, after: str | None
) -> None:
    """Show the audit log, the newest first."""
    with state.api() as api:
        answer = api.pages(path("audit"), limit, after, actor=actor, action=action, target=target)
    state.show.listed(answer, ("at", "actor", "action", "target", "outcome", "address", "detail"))
