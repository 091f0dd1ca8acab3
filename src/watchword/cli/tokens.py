"""``watchword token``: mint one for a test, look into one, verify one. Tokens come from standard input only: an
argument would be in the shell's history and in everybody's list of processes.
"""

import asyncio
import sys
from datetime import timedelta
from typing import Any

import click

from watchword.cli.api import METADATA, open_api
from watchword.cli.failures import failed
from watchword.cli.options import Group, State, pass_state, read_line
from watchword.cli.show import moment
from watchword.core.caller import Caller
from watchword.core.compact import read_unverified
from watchword.core.keyset import KeySet
from watchword.core.verifier import Verifier


@click.group("token", cls=Group)
def tokens() -> None:
    """Access tokens."""


@tokens.command("mint")
@click.option("--user", metavar="NAME", help="The user whom it speaks for.")
@click.option("--client", metavar="ID", help="The client that it is issued to; without --user it speaks for itself.")
@click.option("--audience", required=True, help="The service that it is for.")
@click.option("--scope", "scopes", multiple=True, help="A scope; may be repeated.")
@click.option("--lifetime", type=click.IntRange(1), metavar="SECONDS", help="How long it lives.")
@pass_state
def mint_token(
    state: State,
    user: str | None,
    client: str | None,
    audience: str,
    scopes: tuple[str, ...],
    lifetime: int | None,
) -> None:
    """Mint an access token for a test, from the local database. The audit log names it."""
    from watchword.authority.operator import mint_as_operator
    from watchword.cli.local import opened

    if user is None and client is None:
        raise click.UsageError("Say for whom: --user, --client, or both.")
    with asyncio.Runner() as runner, opened(runner, state.local_settings()) as authority:
        minted = mint_as_operator(
            authority, username=user, client=client, audience=audience, scopes=scopes, lifetime=lifetime
        )
        token = runner.run(minted)
    if state.as_json:
        state.show.document({"access_token": token})
    else:
        sys.stdout.write(token + "\n")


@tokens.command("inspect")
@click.argument("dash", metavar="[-]", type=click.Choice(["-"]), required=False)
@pass_state
def inspect_token(state: State, dash: str | None) -> None:  # noqa: ARG001 - it says the same as nothing
    """Show what a token on standard input says. NOTHING of it is verified: anybody may have written it."""
    header, payload = read_unverified(read_line("the token").strip())
    if state.as_json:
        state.show.document({"verified": False, "header": header, "payload": payload})
        return
    click.echo("UNVERIFIED: anybody may have written this.", err=True)
    state.show.record({f"header {name}": value for name, value in header.items()} | _readable(payload))


@tokens.command("verify")
@click.argument("dash", metavar="[-]", type=click.Choice(["-"]), required=False)
@click.option("--audience", required=True, help="The service that it should be for.")
@pass_state
def verify_token(state: State, dash: str | None, audience: str) -> None:  # noqa: ARG001
    """Verify an access token on standard input, as a guard would, and show its caller.

    On the local database revocations count. With --url only the published keys are asked, and no revocation is seen.
    """
    token = read_line("the token").strip()
    caller = _verify_here(state, token, audience) if state.url is None else _verify_there(state, token, audience)
    told = _shown(caller)
    if state.url is not None:
        click.echo("Revocations were not checked: only a guard, or the authority's own machine, knows them.", err=True)
    if state.as_json:
        state.show.document({"verified": True, "revocations_checked": state.url is None} | told)
    else:
        state.show.record(told)


def _verify_here(state: State, token: str, audience: str) -> Caller:
    from watchword.cli.local import opened
    from watchword.guard.guard import Guard

    settings = state.local_settings()
    longest = timedelta(seconds=settings.max_lifetime)
    with asyncio.Runner() as runner, opened(runner, settings) as authority:
        return Guard(
            authority.settings.issuer, audience=audience, source=authority.source, max_lifetime=longest
        ).verify(token)


def _verify_there(state: State, token: str, audience: str) -> Caller:
    with open_api(state.checked_url()) as api:
        issuer = api.call("GET", METADATA).get("issuer")
        document = api.call("GET", "/.well-known/jwks.json")
    try:
        verifier = Verifier(str(issuer or ""), audience, KeySet.from_jwks(document), max_lifetime=timedelta(days=1))
    except ValueError as why:
        raise failed("no_authority", f"What answers there publishes no usable keys: {why}.") from None
    return verifier.verify(token)


def _shown(caller: Caller) -> dict[str, Any]:
    return {
        "subject": caller.subject,
        "client": caller.client,
        "session": caller.session,
        "roles": sorted(caller.roles),
        "scopes": sorted(caller.scopes),
        "token_id": caller.token_id,
        "issued_at": caller.issued_at,
        "expires_at": caller.expires_at,
        "position": str(caller.position) if caller.position else None,
    }


def _readable(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload, its times as people write them."""
    times = {name: payload[name] for name in ("iat", "nbf", "exp") if isinstance(payload.get(name), int)}
    return payload | {name: f"{value} ({moment(value)})" for name, value in times.items() if 0 <= value < 2**33}
