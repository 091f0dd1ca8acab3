"""``watchword revoke``: what was issued before this moment counts no more."""

import click

from watchword.cli.api import Api, given, path
from watchword.cli.guards import told, wait_for_receipts, wait_options
from watchword.cli.options import Group, State, confirm, paged, pass_state, yes_option


@click.group("revoke", cls=Group)
def revoke() -> None:
    """Refuse what was issued before this moment, at every guard."""


@revoke.command("list")
@paged()
@pass_state
def list_revocations(state: State, limit: int | None, after: str | None) -> None:
    """List the revocations that are still needed, the newest first."""
    with state.api() as api:
        state.show.listed(api.pages(path("revocations"), limit, after), ("number", "at", "scope", "id", "reason"))


@revoke.command("user")
@click.argument("name")
@wait_options
@pass_state
def revoke_user(state: State, name: str, wait: bool, timeout: float) -> None:
    """Every token and session of a user."""
    with state.api() as api:
        _revoke(
            state, api, wait and timeout, "user", api.user(name)["id"], f"all tokens and sessions of {name} revoked"
        )


@revoke.command("session")
@click.argument("identifier", metavar="ID")
@wait_options
@pass_state
def revoke_session(state: State, identifier: str, wait: bool, timeout: float) -> None:
    """One session and its tokens."""
    with state.api() as api:
        _revoke(state, api, wait and timeout, "session", identifier, f"session {identifier} revoked")


@revoke.command("token")
@click.argument("identifier", metavar="JTI")
@wait_options
@pass_state
def revoke_token(state: State, identifier: str, wait: bool, timeout: float) -> None:
    """One access token, by its id (the claim jti)."""
    with state.api() as api:
        _revoke(state, api, wait and timeout, "token", identifier, f"token {identifier} revoked")


@revoke.command("client")
@click.argument("identifier", metavar="ID")
@wait_options
@pass_state
def revoke_client(state: State, identifier: str, wait: bool, timeout: float) -> None:
    """Every token that a client got, and the sessions that it began."""
    with state.api() as api:
        _revoke(
            state,
            api,
            wait and timeout,
            "client",
            identifier,
            f"all tokens and sessions of the client {identifier} revoked",
        )


@revoke.command("role")
@click.argument("name")
@wait_options
@pass_state
def revoke_role(state: State, name: str, wait: bool, timeout: float) -> None:
    """Every access token that carries a role. Sessions live on: a refresh brings a new token."""
    with state.api() as api:
        _revoke(state, api, wait and timeout, "role", name, f"all tokens with the role {name} revoked")


@revoke.command("everyone")
@yes_option
@wait_options
@pass_state
def revoke_everyone(state: State, yes: bool, wait: bool, timeout: float) -> None:
    """Everything: all tokens and sessions of all users and clients, your own too."""
    confirm("Sign out everyone, and refuse every token that there is?", yes=yes)
    with state.api() as api:
        _revoke(state, api, wait and timeout, "everyone", None, "everything that was issued is revoked")


def _revoke(state: State, api: Api, seconds: float, scope: str, identifier: str | None, sentence: str) -> None:
    """Revoke; and, unless that is 0, wait so many seconds for the guards."""
    answer = api.call("POST", path("revocations"), body=given(scope=scope, id=identifier))
    if seconds:
        answer["receipts"] = wait_for_receipts(api, answer["position"], seconds)
        sentence += f": {told(answer['receipts'])}"
    state.show.done(answer, sentence)
