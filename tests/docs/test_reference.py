"""The reference pages are held against the code, both ways: all there is is documented, all that is documented is."""

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import timedelta
from types import FunctionType

import click
import msgspec
import pytest
from tests.docs.pages import DOCS, codes, plain, rows, sections

from watchword import Caller, Guard, OtherIssuer, errors
from watchword.authority.app import FEED_PATH, OPENAPI_PATH, build_policy
from watchword.authority.http import Route
from watchword.authority.log.feed import FeedQuery
from watchword.authority.paging import PageOf
from watchword.authority.routes import ROUTES
from watchword.authority.settings import Settings
from watchword.cli.main import cli
from watchword.core.cutoffs import REASONS, Scope
from watchword.core.feed import FOREIGN, KEYS, Page, PageEntry, PageForeign, PageKey
from watchword.errors import Refused
from watchword.frameworks.fastapi import need, protect
from watchword.guard import guard as guard_module
from watchword.guard.challenge import problem
from watchword.guard.decisions import Decision
from watchword.guard.others import OtherStatus
from watchword.guard.rules import anyone, signed_in
from watchword.guard.source import boot_clock
from watchword.guard.tickets import Tickets

SETTINGS, ERRORS, ENDPOINTS, COMMANDS, GUARD, FEED = (
    DOCS / "reference" / f"{name}.md" for name in ("settings", "errors", "endpoints", "commands", "guard", "feed")
)


# -- Settings


def test_every_setting_is_documented_with_its_default_and_bounds() -> None:
    """The table of settings is the struct: names, variables, defaults and bounds, in its order."""
    hints = typing.get_type_hints(Settings, include_extras=True)

    def bounds(name: str) -> str:
        meta = next((part for part in getattr(hints[name], "__metadata__", ()) if part.ge is not None), None)
        return f"{meta.ge} to {meta.le}" if meta else ""

    real = [
        [field.name, f"WATCHWORD_{field.name.upper()}", json.dumps(_default(field)), bounds(field.name)]
        for field in msgspec.structs.fields(Settings)
    ]
    assert [row[:4] for row in rows(SETTINGS.read_text(), "Setting")] == real


def test_every_setting_is_explained() -> None:
    """No row of the table of settings ends without a sentence."""
    assert all(row[4].endswith(".") for row in rows(SETTINGS.read_text(), "Setting"))


# -- Error codes


def _refusals() -> dict[str, type[Refused]]:
    def below(kind: type[Refused]) -> Iterator[type[Refused]]:
        yield kind
        for sub in kind.__subclasses__():
            yield from below(sub)

    return {kind.code: kind for kind in below(Refused) if kind.__module__ == errors.__name__}


def test_every_error_code_is_documented_with_its_status_and_sentence() -> None:
    """The tables of codes are the classes of `watchword.errors`."""
    told = {row[0]: (int(row[1]), row[3]) for row in rows(ERRORS.read_text(), "Code")}
    assert told == {code: (kind.status, kind.sentence) for code, kind in _refusals().items()}


def test_the_error_in_the_challenge_or_at_oauth_endpoints_is_documented() -> None:
    """The third column is what ``WWW-Authenticate`` says, or RFC 6749's ``error``."""
    guards, authority = ERRORS.read_text().split("## From the authority")
    for row in rows(guards, "Code"):
        kind = _refusals()[row[0]]
        assert row[2] == (kind.challenge or ("none" if kind.status == 401 else "")), row[0]
    for row in rows(authority, "Code"):
        assert row[2] == _refusals()[row[0]].oauth, row[0]


def test_every_error_code_says_what_to_do() -> None:
    """No code leaves its reader alone."""
    assert all(row[4].endswith(".") for row in rows(ERRORS.read_text(), "Code"))


# -- Endpoints


def _who(route: Route) -> str:
    names = {id(anyone): "anyone", id(signed_in): "signed in"}
    return names.get(id(route.rule)) or str(route.rule).replace("role administrator", "role `administrator`")


def test_every_route_is_documented() -> None:
    """A section for each row of the wall's policy, for the feed before it, and no other."""
    documented = {name for name in sections(ENDPOINTS) if re.match(r"[A-Z]+ /", name)}
    walled = {f"{method} {path}" for method, path, _ in build_policy().rows}
    assert documented == walled | {f"GET {FEED_PATH}"}
    assert f"GET {OPENAPI_PATH}" in walled


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_is_documented_as_it_is(route: Route) -> None:
    """Who may, the status, and each field of what it takes."""
    section = sections(ENDPOINTS)[f"{route.method} {route.path}"]
    assert f"- Who: {_who(route)}\n" in section
    assert f"- Answer: {204 if route.gives is None else route.status}" in section
    header = "Query" if not route.has_body else "Form field" if route.form else "Body field"
    taken = () if route.takes is None else msgspec.structs.fields(route.takes)
    assert [row[0] for row in rows(section, header)] == [field.encode_name for field in taken]
    needed = {row[0] for row in rows(section, header) if row[1] == "yes"}
    # These two the endpoint itself asks for, so that their lack is told as OAuth has it.
    assert needed - {"grant_type", "token"} == {field.encode_name for field in taken if field.required}


def test_every_shape_of_an_answer_is_documented() -> None:
    """The tables of shapes are the structs that routes give, member by member."""
    real = sorted([field.encode_name for field in msgspec.structs.fields(kind)] for kind in _shapes())
    shown = sections(ENDPOINTS)
    told = sorted(
        [row[0] for row in rows(text, "Member")] for name, text in shown.items() if not re.match(r"[A-Z]+ /", name)
    )
    assert told == real


def _shapes() -> set[type[msgspec.Struct]]:
    found: set[type[msgspec.Struct]] = set()

    def reach(kind: object) -> None:
        if typing.get_origin(kind) is PageOf:
            found.add(PageOf)
        for part in typing.get_args(kind):
            reach(part)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            for field in msgspec.structs.fields(kind):
                reach(field.type)

    for route in ROUTES:
        reach(route.gives)
    return found


# -- Commands


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for word, below in command.commands.items():
            yield from _commands(below, f"{name} {word}")
    else:
        arguments = command.collect_usage_pieces(click.Context(command))
        yield " ".join([name, *(piece for piece in arguments if piece != "[OPTIONS]")]), command


def _options(command: click.Command) -> set[str]:
    options = (option for option in command.params if isinstance(option, click.Option) and not option.hidden)
    return {max(option.opts, key=len) for option in options}


def test_every_command_is_documented_with_its_arguments() -> None:
    """A section for each command, and no other."""
    documented = {name for name in sections(COMMANDS) if name.startswith("watchword ")}
    assert documented == {name for name, _ in _commands(cli, "watchword")}


@pytest.mark.parametrize(("name", "command"), list(_commands(cli, "watchword")), ids=lambda part: str(part)[:40])
def test_a_command_is_documented_with_its_options(name: str, command: click.Command) -> None:
    """The options that its help shows, but those of every command."""
    section = sections(COMMANDS)[name]
    assert {row[0].split()[0] for row in rows(section, "Option")} == _options(command) - {"--json"}
    assert command.help
    first = " ".join(command.help.split())[:40].replace("`", "")
    assert first in plain(" ".join(section.split()))


def test_the_options_of_every_command_are_documented() -> None:
    """One table for those that stand before or after a command's name."""
    section = sections(COMMANDS, 2)["Options of every command"]
    assert {row[0].split()[0] for row in rows(section, "Option")} == _options(cli) | {"--help"}


def test_the_exit_codes_are_documented() -> None:
    """0, 1 and 2."""
    assert [row[0] for row in rows(COMMANDS.read_text(), "Exit code")] == ["0", "1", "2"]


# -- The guard


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _parameters(function: Callable[..., object]) -> list[list[str]]:
    def shown(default: object) -> str:
        if default is inspect.Parameter.empty:
            return "needed"
        if isinstance(default, timedelta):
            hours = default >= timedelta(hours=1)
            unit, length = ("hours", 3600) if hours else ("seconds", 1)
            return f"timedelta({unit}={default.total_seconds() / length:.0f})"
        if default is signed_in:
            return "signed_in"
        if default is boot_clock:
            return "boot_clock"
        return "time.time" if callable(default) else repr(default)

    return [[name, shown(each.default)] for name, each in inspect.signature(function).parameters.items()]


@pytest.mark.parametrize(
    ("header", "function"),
    [
        ("Parameter", Guard),
        ("Parameter of protect", protect),
        ("Parameter of need", need),
        ("Parameter of Tickets", Tickets),
        ("Parameter of OtherIssuer", OtherIssuer),
    ],
)
def test_every_parameter_is_documented_with_its_default(header: str, function: Callable[..., object]) -> None:
    """The tables of parameters are the signatures."""
    header = header if header == "Parameter" else header.replace("of ", "of `") + "`"
    assert [row[:2] for row in rows(GUARD.read_text(), header)] == _parameters(function)


def test_every_public_member_of_guard_status_and_caller_is_documented() -> None:
    """Methods, status fields, and what a handler can ask its caller."""
    text = GUARD.read_text()
    methods = [name for name, member in vars(Guard).items() if isinstance(member, FunctionType) and name[0] != "_"]
    assert [row[0] for row in rows(text, "Method")] == methods
    assert [row[0] for row in rows(text, "Status")] == [field.name for field in fields(guard_module.Status)]
    assert [row[0] for row in rows(text, "Status of another issuer")] == [field.name for field in fields(OtherStatus)]
    assert {row[0] for row in rows(text, "Member") if row[0] in dir(Caller)} == {
        name for name in dir(Caller) if name[0] != "_"
    }


def test_the_order_of_the_checks_names_every_code_of_a_guard() -> None:
    """Each code that a guard answers with stands in the order of the checks, once."""
    told = [code for row in rows(GUARD.read_text(), "Check") for code in row[1].split(", ")]
    bases = {"refused", "invalid_token", "guard_unknowing"}
    guards, _ = ERRORS.read_text().split("## From the authority")
    assert len(told) == len(set(told))
    assert set(told) == {row[0] for row in rows(guards, "Code")} - bases


def test_the_audit_line_and_the_problem_are_documented() -> None:
    """The fields of a log record, and the members of a refusal's body."""
    text = GUARD.read_text()
    assert [row[0] for row in rows(text, "Field")] == list(Decision("GET", "/")._fields("", None, None))
    body = problem(errors.NotPermitted(missing=["role editor"]), "d")
    assert [row[0] for row in rows(sections(GUARD, 2)["The refusal"], "Member")] == list(body)


# -- The feed


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Parameter", FeedQuery),
        ("Member", Page),
        ("Entry's member", PageEntry),
        ("Foreign member", PageForeign),
        ("Key's member", PageKey),
    ],
)
def test_the_wire_form_of_the_feed_is_documented(header: str, kind: type[msgspec.Struct]) -> None:
    """The parameters of the request, and the members of page, entry and key."""
    wanted = [field.encode_name for field in msgspec.structs.fields(kind)]
    assert [row[0] for row in rows(FEED.read_text(), header)] == wanted


def test_scopes_and_reasons_are_documented() -> None:
    """Every scope that an entry may have, and every reason."""
    text = FEED.read_text()
    assert [row[0] for row in rows(text, "Scope")] == [*(scope.value for scope in Scope), KEYS, FOREIGN]
    assert [row[0] for row in rows(text, "Reason")] == list(REASONS)


def test_codes_and_settings_that_other_pages_name_exist() -> None:
    """A code span that begins with WATCHWORD_ is a variable that something reads."""
    known = {f"WATCHWORD_{name.upper()}" for name in Settings.__struct_fields__}
    known |= {row[0] for row in rows(SETTINGS.read_text(), "Variable")}
    named = {
        code
        for page in DOCS.rglob("*.md")
        for code in codes(page.read_text())
        if re.fullmatch(r"WATCHWORD_[A-Z_]+[A-Z]", code)
    }
    examples = {"WATCHWORD_SERVICE_HOST"}
    assert {code.removesuffix("_FILE") if code not in known else code for code in named} - examples <= known
