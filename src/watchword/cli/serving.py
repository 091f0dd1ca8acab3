"""``watchword serve`` and what an operator does around it: make a database, look at the settings and the state."""

import asyncio
import signal
import sys

import click

from watchword.authority.settings import Settings, SettingsError
from watchword.cli.api import path
from watchword.cli.options import Command, Group, State, confirm, pass_state, yes_option
from watchword.cli.show import moment


@click.command("serve", cls=Command)
@click.option("--issuer", metavar="URL", help="The name in every token, and where services reach the authority.")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on; 0 takes a free one.")
@pass_state
def serve(state: State, issuer: str | None, host: str | None, port: int | None) -> None:
    """Run the authority until Ctrl-C. The first start makes the database and the first administrator."""
    from watchword.authority.logs import set_up_logging
    from watchword.authority.serve import new_loop
    from watchword.authority.serve import serve as serve_until_signal

    state.local_settings()
    settings = state.settings(issuer=issuer, host=host, port=port)
    set_up_logging(settings.log_level, sys.stderr, as_json=state.as_json or not sys.stderr.isatty())
    # As Ctrl-C, also while nothing is served yet: else the signal would end us before the database is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(serve_until_signal(settings))
    except KeyboardInterrupt:
        return
    except SystemExit:  # uvicorn cannot listen there, and has said why in the log
        raise click.exceptions.Exit(1) from None


@click.command("init", cls=Command)
@pass_state
def start_new(state: State) -> None:
    """Make the database and the first administrator, as the first start of `serve` does."""
    from watchword.authority.serve import tell_first_administrator
    from watchword.cli.local import opened

    settings = state.local_settings()
    with asyncio.Runner() as runner, opened(runner, settings, new=True) as authority:
        first = authority.first_administrator
        told = first and tell_first_administrator(settings, first, file=state.as_json)
    answer = {"database": settings.database_name, "created": first is not None, "first_administrator": None}
    if first is not None:
        answer["first_administrator"] = {"username": first.name, "password_file": told and str(told)}
    name = settings.database_name
    sentence = f"{name} is ready" if first else f"{name} was there already"
    state.show.done(answer, sentence + (f"; the first administrator's one-time password is in {told}" if told else ""))


@click.command("recover", cls=Command)
@click.option("--clone", is_flag=True, help="This database is a copy: guards must never take it for the original.")
@click.option(
    "--lossless", is_flag=True, help="It moved to another server and nothing was lost: nobody signs in again."
)
@yes_option
@pass_state
def recover(state: State, clone: bool, lossless: bool, yes: bool) -> None:
    """Go on after history was lost, as by a restored backup. Everyone signs in again; every key is withdrawn."""
    from watchword.authority.recover import keep_history
    from watchword.authority.recover import recover as begin_anew
    from watchword.cli.local import opened

    if clone and lossless:
        raise click.UsageError("--clone and --lossless exclude one another.")
    settings = state.local_settings()
    if lossless:
        confirm(
            "Is nothing lost that the server before has acknowledged? Else revoked tokens may stand again.", yes=yes
        )
    else:
        void = "Every token and session of the old one is void, and so are other issuers' tokens that are out by now."
        confirm(f"Begin a new history? {void}", yes=yes)
    with asyncio.Runner() as runner, opened(runner, settings) as authority:
        if lossless:
            position = runner.run(keep_history(authority))
            state.show.done({"position": str(position)}, f"the history goes on, at {position}")
        else:
            position, floor = runner.run(begin_anew(authority, clone=clone))
            refused = f"other issuers' tokens are refused up to {moment(floor)}"
            answer = {"position": str(position), "foreign_floor": floor}
            state.show.done(answer, f"a new history began, at {position}; {refused}")


@click.command("status", cls=Command)
@pass_state
def status(state: State) -> None:
    """Show how the authority is."""
    with state.api() as api:
        state.show.record(api.call("GET", path("status")))


@click.command("openapi", cls=Command)
@pass_state
def openapi(state: State) -> None:
    """Print the OpenAPI document of the authority. No database is needed."""
    from watchword.authority.openapi import openapi_document
    from watchword.authority.routes import ROUTES

    state.show.document(openapi_document(state.local_settings().issuer or "/", ROUTES))


@click.group("config", cls=Group)
def config() -> None:
    """The settings."""


@config.command("show")
@pass_state
def show_config(state: State) -> None:
    """Show every setting, its value and where it comes from. Secrets are not shown."""
    settings = state.local_settings()
    origins = state.origins()
    items = [
        {"name": name, "value": value, "from": origins.get(name, "default")} for name, value in settings.shown().items()
    ]
    state.show.listed({"items": items}, ("name", "value", "from"))


@config.command("check")
@pass_state
def check_config(state: State) -> None:
    """Check that the settings can be used, and the secret and the database with them."""
    from watchword.cli.failures import failed

    try:
        told = _check(state.local_settings())
    except SettingsError as why:
        raise failed("settings", str(why)) from None
    state.show.record({"ok": True} | told)


def _check(settings: Settings) -> dict[str, str]:
    from watchword.cli.local import exists, opened

    with asyncio.Runner() as runner:
        if not runner.run(exists(settings)):
            return {"issuer": settings.issuer, "database": f"{settings.database_name} is not there yet"}
        with opened(runner, settings) as authority:
            return {"issuer": authority.settings.issuer, "database": settings.database_name}
