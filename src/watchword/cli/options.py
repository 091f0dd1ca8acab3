"""What every command can be told: where the authority is, who asks, and in what form to answer."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from watchword.authority.settings import Settings, load_settings, origins
from watchword.cli import api as apis
from watchword.cli.api import Api
from watchword.cli.show import Show

_MAX_LINE: Final = 65536
_LIMIT: Final = "How many at most."
_Function = TypeVar("_Function", bound=Callable[..., Any])


class State:
    """The options that were given, before or after the command's name, and what follows from them."""

    def __init__(self) -> None:
        self.as_json = False
        self.config: Path | None = None
        self.database: str | None = None
        self.url: str | None = None
        self.as_name: str | None = None
        self.password_stdin = False
        self.unsafely_allow_plain_http = False
        self._password: str | None = None

    @property
    def show(self) -> Show:
        """Where the answer goes."""
        return Show(as_json=self.as_json)

    def settings(self, **given: object) -> Settings:
        """The settings, with what was given on the command line on top; `SettingsError`."""
        return load_settings(given | {"database": self.database}, file=self.config)

    def origins(self) -> dict[str, str]:
        """Where each setting comes from that is not at its default."""
        return origins({"database": self.database}, file=self.config)

    def local_settings(self) -> Settings:
        """The settings, for a command that never acts on another machine."""
        if self.url is not None:
            raise click.UsageError("This command acts on the local database only: leave --url out.")
        return self.settings()

    @contextmanager
    def api(self) -> Iterator[Api]:
        """The admin API, here or at ``--url``."""
        if self.url is None:
            if self.as_name is not None or self.password_stdin:
                raise click.UsageError("--as and --password-stdin before the command belong to --url.")
            with apis.local_api(self.settings()) as api:
                yield api
            return
        url = self.checked_url()
        token = os.environ.get("WATCHWORD_TOKEN") or None
        if self.as_name is None and token is None:
            raise click.UsageError("--url needs --as NAME, or an administrator's token in WATCHWORD_TOKEN.")
        with apis.remote_api(
            url,
            name=self.as_name,
            password=self.password,
            new_password=None if self.password_stdin else self._new_password,
            token=token,
        ) as api:
            yield api

    def password(self) -> str:
        """The password of ``--as``. It is the first line of standard input, so it is read before all others."""
        if self._password is None:
            asked = f"Password of {self.as_name}"
            self._password = read_line("the password") if self.password_stdin else ask_password(asked, twice=False)
        return self._password

    def checked_url(self) -> str:
        """The ``--url`` that was given, if passwords and keys may travel there."""
        url = self.url or ""
        try:
            apis.check_url(url, plain_http_anywhere=self.unsafely_allow_plain_http)
        except ValueError as why:
            reason = re.sub(r"unsafely_allow_plain_http(=True)?", "--unsafely-allow-plain-http", str(why))
            raise click.UsageError(f"--url: {reason}") from None
        return url

    @staticmethod
    def _new_password() -> str:
        click.echo("The password must be changed first.", err=True)
        return ask_password("New password", twice=True)


pass_state = click.make_pass_decorator(State, ensure=True)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    state = context.ensure_object(State)
    if value and parameter.name:
        setattr(state, parameter.name, value)


def _options(*, hidden: bool) -> list[click.Parameter]:
    """The options of every command. Both sides of its name take them; the help shows most of them once."""
    rows: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("--json", "as_json"), {"is_flag": True, "help": "Answer in JSON.", "hidden": False}),
        (
            ("--config",),
            {
                "type": click.Path(dir_okay=False, path_type=Path),
                "help": "The file of settings [default: watchword.toml, if it is there].",
            },
        ),
        (("--database",), {"metavar": "URL", "help": "The local database to act on."}),
        (("--url",), {"metavar": "URL", "help": "A running authority to act on, instead of a local database."}),
        (("--as", "as_name"), {"metavar": "NAME", "help": "The administrator who signs in at --url."}),
        (
            ("--unsafely-allow-plain-http",),
            {"is_flag": True, "help": "Let --url be plain http beyond this machine: whoever listens has the password."},
        ),
    ]
    return [
        click.Option(names, expose_value=False, callback=_keep, **({"hidden": hidden} | settings))
        for names, settings in rows
    ]


class Command(click.Command):
    """A command that takes the options of every command."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += _options(hidden=True)


class Group(click.Group):
    """A group whose commands take the options of every command."""

    command_class = Command
    group_class = type


class RootGroup(Group):
    """The command itself: the options of every command, shown in its help."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        stdin = click.Option(
            ["--password-stdin"],
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Read the password of --as from the first line of standard input.",
        )
        self.params += [*_options(hidden=False), stdin]


def paged(default: int | None = None) -> Callable[[_Function], _Function]:
    """``--limit`` and ``--after`` for a command that lists."""

    def decorate(function: _Function) -> _Function:
        function = click.option("--after", metavar="NEXT", help="Go on after an earlier list's end.")(function)
        limit = click.option("--limit", type=click.IntRange(1), default=default, show_default=True, help=_LIMIT)
        return limit(function)

    return decorate


def password_options(function: _Function) -> _Function:
    """``--ask-password`` and ``--password-stdin`` for a command that sets a user's password."""
    ask = click.option("--ask-password", is_flag=True, help="Ask for the password, twice and without echo.")
    stdin = click.option("--password-stdin", is_flag=True, help="Read the password from a line of standard input.")
    return ask(stdin(function))


def chosen_password(state: State, *, ask: bool, stdin: bool) -> str | None:
    """The password that was chosen, or None for a one-time password."""
    if ask and stdin:
        raise click.UsageError("--ask-password and --password-stdin exclude one another.")
    if state.url is not None and state.as_name is not None:
        state.password()
    if stdin:
        return read_line("the new password")
    return ask_password("New password", twice=True) if ask else None


def ask_password(text: str, *, twice: bool) -> str:
    """Ask on the terminal, without echo."""
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for a password on: use --password-stdin.")
    return str(click.prompt(text, hide_input=True, confirmation_prompt=twice, err=True))


def read_line(what: str) -> str:
    """The next line of standard input; it is never quoted in an error."""
    line: bytes = sys.stdin.buffer.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise click.UsageError(f"The line with {what} is over {_MAX_LINE} bytes.")
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError(f"The line with {what} is not UTF-8.") from None
    if not text:
        raise click.UsageError(f"Standard input holds no line with {what}.")
    return text


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; without a terminal only ``--yes`` will do."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("This cannot be undone and there is no terminal to ask on: add --yes.")
    click.confirm(question, abort=True, err=True)


yes_option = click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
