"""``watchword key`` and ``watchword secret``: the keys that sign, and the secret that wraps them."""

import asyncio

import click

from watchword.cli.api import path
from watchword.cli.options import Group, State, confirm, pass_state, yes_option


@click.group("key", cls=Group)
def keys() -> None:
    """The keys that sign tokens."""


@keys.command("list")
@pass_state
def list_keys(state: State) -> None:
    """List the keys: next, current, retiring and withdrawn."""
    with state.api() as api:
        state.show.listed(api.call("GET", path("keys")), ("kid", "algorithm", "state", "created_at", "changed_at"))


@keys.command("rotate")
@pass_state
def rotate_keys(state: State) -> None:
    """Sign with the next key from now on, and make another next one. No token dies."""
    with state.api() as api:
        answer = api.call("POST", path("keys", "rotate"))
    state.show.done(answer, "the next key signs now")


@keys.command("withdraw")
@click.argument("kid", required=False)
@click.option("--all", "everything", is_flag=True, help="Withdraw every key; a new one signs.")
@yes_option
@pass_state
def withdraw_key(state: State, kid: str | None, everything: bool, yes: bool) -> None:
    """Withdraw a key for ever, as after a theft: every token that it signed is refused from now on."""
    if (kid is None) is not everything:
        raise click.UsageError("Name a key, or say --all.")
    if kid is not None:
        with state.api() as api:
            answer = api.call("POST", path("keys", kid, "withdraw"))
        state.show.done(answer, f"key {kid} withdrawn")
        return
    confirm("Withdraw every key? All access tokens that there are will be refused.", yes=yes)
    with state.api() as api:
        answer = api.call("POST", path("keys", "withdraw-all"))
    state.show.done(answer, "every key withdrawn; a new one signs")


@click.group("secret", cls=Group)
def secret() -> None:
    """The secret that wraps the signing keys in the database."""


@secret.command("rotate")
@pass_state
def rotate_secret(state: State) -> None:
    """Wrap everything under a new secret: one made here, where it is in a file, else the one in WATCHWORD_SECRET."""
    from watchword.authority.keys.secret_rotation import rotate_secret as wrap_anew
    from watchword.cli.local import opened

    with asyncio.Runner() as runner, opened(runner, state.local_settings()) as authority:
        count = runner.run(wrap_anew(authority))
    state.show.done({"wrapped": count}, f"{count} keys and seeds wrapped under the new secret")
