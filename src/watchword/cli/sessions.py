"""``watchword session``: sign-ins on devices."""

from typing import Any

import click

from watchword.cli.api import Api, path
from watchword.cli.failures import Failed
from watchword.cli.options import Group, State, paged, pass_state
from watchword.cli.show import progress

_COLUMNS = ("id", "user", "client", "label", "address", "used_at", "created_at")


@click.group("session", cls=Group)
def sessions() -> None:
    """Sign-ins on devices."""


@sessions.command("list")
@click.option("--user", metavar="NAME", help="Only this user's.")
@click.option("--client", metavar="ID", help="Only those that this client began.")
@paged()
@pass_state
def list_sessions(state: State, user: str | None, client: str | None, limit: int | None, after: str | None) -> None:
    """List the sessions that live."""
    with state.api() as api:
        of = None if user is None else api.user(user)["id"]
        state.show.listed(api.pages(path("sessions"), limit, after, user=of, client=client), _COLUMNS)


@sessions.command("end")
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--user", metavar="NAME", help="End each session of this user, in place of one by its id.")
@pass_state
def end_session(state: State, identifier: str | None, user: str | None) -> None:
    """End a session: that device's tokens are refused from now on."""
    if (identifier is None) is (user is None):
        raise click.UsageError("Name a session, or a user with --user.")
    with state.api() as api:
        if identifier is not None:
            answer = api.call("DELETE", path("sessions", identifier))
            state.show.done(answer, f"session {identifier} ended")
        elif user is not None:
            answer = _end_all(api, user)
            state.show.done(answer, f"{answer['ended']} sessions of {user} ended")


def _end_all(api: Api, name: str) -> dict[str, Any]:
    living = api.pages(path("sessions"), None, None, user=api.user(name)["id"])["items"]
    answer: dict[str, Any] = {"ended": 0, "position": None}
    for session in progress("ending sessions", living):
        try:
            answer |= api.call("DELETE", path("sessions", session["id"]))
            answer["ended"] += 1
        except Failed as why:
            if why.problem["code"] != "not_found":  # it may have ended by itself since it was listed
                raise
    return answer
