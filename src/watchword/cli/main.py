"""The command ``watchword``: its groups, and the boundary where every failure becomes one line and an exit code."""

import json
import logging
import sys
from typing import Any, Final

import click

from watchword.authority.settings import SettingsError
from watchword.cli.audit import audit
from watchword.cli.clients import audiences, clients
from watchword.cli.failures import Failed, failed
from watchword.cli.guards import guards
from watchword.cli.keys import keys, secret
from watchword.cli.options import RootGroup
from watchword.cli.revoke import revoke
from watchword.cli.roles import roles
from watchword.cli.serving import config, openapi, recover, serve, start_new, status
from watchword.cli.sessions import sessions
from watchword.cli.show import clean
from watchword.cli.tokens import tokens
from watchword.cli.users import users
from watchword.errors import Refused
from watchword.guard import challenge

REFUSED: Final = 1
MISUSED: Final = 2


class Root(RootGroup):
    """Ends with 0 when it is done, 1 when it was refused or failed, 2 when it was not asked properly."""

    def main(self, args: Any = None, prog_name: Any = None, **extra: Any) -> Any:  # type: ignore[override]
        """Run a command line and exit; no failure shows a traceback."""
        words = sys.argv[1:] if args is None else list(args)
        as_json = "--json" in words
        extra["standalone_mode"] = False
        try:
            code = super().main(words, prog_name, **extra)
        except click.UsageError as misuse:
            _tell_misuse(misuse, as_json=as_json)
            sys.exit(MISUSED)
        except SettingsError as why:
            _tell(failed("settings", f"{why}"), as_json=as_json)
            sys.exit(MISUSED)
        except UnicodeEncodeError:
            _tell(failed("misuse", "An argument is not UTF-8."), as_json=as_json)
            sys.exit(MISUSED)
        except click.Abort:
            _tell(failed("aborted", "Aborted; nothing more was done."), as_json=as_json)
            sys.exit(REFUSED)
        except Exception as why:  # noqa: BLE001 - whatever it is, a person at a terminal gets one line
            _tell(_failure(why), as_json=as_json)
            sys.exit(REFUSED)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="watchword")
def cli() -> None:
    """Sign-in, roles and revocation for REST APIs with JSON Web Tokens.

    Commands act on the local database, as the operator of this machine; or, with --url, on a running authority.
    """


_COMMANDS: Final[tuple[click.Command, ...]] = (
    serve,
    start_new,
    recover,
    users,
    roles,
    audiences,
    clients,
    sessions,
    keys,
    secret,
    revoke,
    guards,
    tokens,
    audit,
    status,
    config,
    openapi,
)
for _command in _COMMANDS:
    cli.add_command(_command)


def run() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a name that the terminal cannot show
    logging.getLogger().addHandler(logging.NullHandler())  # else warnings reach the terminal beside the one line
    cli.main(prog_name="watchword")


def _failure(why: Exception) -> Failed:
    if isinstance(why, Failed):
        return why
    if isinstance(why, Refused):
        more = {"reason": why.detail} if why.detail and "reason" not in why.public else {}
        return Failed(challenge.problem(why) | more)
    if isinstance(why, click.ClickException):
        return failed("failed", why.format_message())
    if isinstance(why, OSError):
        return failed("failed", f"{why.filename or 'the system'}: {why.strerror or type(why).__name__}")
    place = why.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place else ""
    return failed("fault", f"This is a fault in Watchword: {type(why).__name__} in {where}.")


def _tell(failure: Failed, *, as_json: bool) -> None:
    text = json.dumps(failure.problem) if as_json else clean(f"watchword: {failure.line}")
    click.echo(text, err=True)


def _tell_misuse(misuse: click.UsageError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"title": misuse.format_message(), "code": "misuse"}), err=True)
    else:
        misuse.show()
