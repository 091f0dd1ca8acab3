"""``watchword revoke``: what was issued before this moment counts no more."""

import math
from datetime import datetime
from typing import Any, Final

import click

from watchword.cli.api import Api, given, path
from watchword.cli.guards import told, wait_for_receipts, wait_options
from watchword.cli.options import Group, State, confirm, paged, pass_state, yes_option
from watchword.cli.show import moment
from watchword.core.cutoffs import Scope

_OURS: Final = ("number", "at", "scope", "id", "reason")
_THEIRS: Final = ("number", "issuer", "scope", "id", "before", "reason")


def _second(text: str) -> int:
    """A moment as a person writes it, in whole seconds since 1970: seconds, or date and time with an offset (RFC 3339).

    A part of a second takes the whole one.
    """
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("Write it as 2026-11-24T02:00:00Z, or in seconds since 1970.") from None
    if read.tzinfo is None:
        raise click.BadParameter("Say in which zone: 2026-11-24T02:00:00Z.")
    if read.timestamp() < 0:
        raise click.BadParameter("That is before 1970.")
    return math.ceil(read.timestamp())


@click.group("revoke", cls=Group)
def revoke() -> None:
    """Refuse what was issued before this moment, at every guard."""


@revoke.command("list")
@click.option("--foreign", is_flag=True, help="Those of other issuers' tokens.")
@paged()
@pass_state
def list_revocations(state: State, foreign: bool, limit: int | None, after: str | None) -> None:
    """List the revocations that are still needed, the newest first."""
    where = path("revocations", "foreign") if foreign else path("revocations")
    with state.api() as api:
        state.show.listed(api.pages(where, limit, after), _THEIRS if foreign else _OURS)


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


@revoke.command("foreign")
@click.argument("scope", metavar="SCOPE", type=click.Choice([scope.value for scope in Scope]))
@click.argument("identifier", metavar="[ID]", required=False)
@click.option("--issuer", metavar="URL", required=True, help="Whose tokens: the issuer as they have it in iss.")
@click.option("--before", type=_second, metavar="TIME", help="The last second whose tokens die. [default: now]")
@yes_option
@wait_options
@pass_state
def revoke_foreign(
    state: State,
    scope: str,
    identifier: str | None,
    issuer: str,
    before: int | None,
    yes: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Tokens of another issuer that your guards accept, issued up to now or an earlier second.

    SCOPE is user (ID is their sub), session (sid), token (jti), client (client_id), role, or everyone, without an ID.
    """
    if (scope == Scope.EVERYONE) is not (identifier is None):
        raise click.UsageError("Everyone has no ID." if identifier else f"Say which {scope}: the ID is missing.")
    if scope == Scope.EVERYONE:
        confirm(f"Refuse every token that {issuer} has issued?", yes=yes)
    body = given(scope=scope, id=identifier, issuer=issuer, before=before)
    with state.api() as api:
        answer = api.call("POST", path("revocations", "foreign"), body=body)
        whom = scope if identifier is None else f"{scope} {identifier}"
        _tell(state, api, wait and timeout, answer, f"{whom} of {issuer} revoked up to {moment(answer['before'])}")


def _revoke(state: State, api: Api, seconds: float, scope: str, identifier: str | None, sentence: str) -> None:
    answer = api.call("POST", path("revocations"), body=given(scope=scope, id=identifier))
    _tell(state, api, seconds, answer, sentence)


def _tell(state: State, api: Api, seconds: float, answer: dict[str, Any], sentence: str) -> None:
    """Say what was revoked; before that, unless that is 0, wait so many seconds for the guards."""
    if seconds:
        answer["receipts"] = wait_for_receipts(api, answer["position"], seconds)
        sentence += f": {told(answer['receipts'])}"
    state.show.done(answer, sentence)
