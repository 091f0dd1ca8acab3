"""What a command prints: the authority's answer as JSON, or a table for a person.

Names and labels were written by others, so on their way to a terminal they lose every character that could steer it.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

_ONCE: Final = {"one_time_password": "one-time password", "client_secret": "client secret"}
_Item = TypeVar("_Item")


@final
class Show:
    """Prints on standard output, as JSON or for people: tables on a terminal, columns with tabs in a pipe."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def listed(self, answer: Mapping[str, Any], columns: Sequence[str]) -> None:
        """The items of an answer, one a row."""
        if self.as_json:
            self.document(answer)
            return
        rows = [[_cell(name, item.get(name)) for name in columns] for item in answer["items"]]
        _table(columns, rows)
        if answer.get("next"):
            sys.stderr.write(f"there is more: --after {clean(answer['next'])}\n")

    def record(self, answer: Mapping[str, Any]) -> None:
        """One thing, a member a row."""
        if self.as_json:
            self.document(answer)
        else:
            _table(None, [[clean(name), _cell(name, value)] for name, value in answer.items()])

    def done(self, answer: Mapping[str, Any], sentence: str) -> None:
        """That a change was made, and what is shown once of it."""
        if self.as_json:
            self.document(answer)
            return
        sys.stdout.write(clean(sentence) + "\n")
        for name, title in _ONCE.items():
            if answer.get(name):
                sys.stdout.write(f"{title} (shown once): {clean(answer[name])}\n")

    def document(self, answer: object) -> None:
        """JSON in ASCII: it is the same in every encoding, and no terminal can be steered by it."""
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")


def progress(what: str, items: Sequence[_Item]) -> Iterator[_Item]:
    """The items, one after another, with a bar on standard error if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield from bar.track(items, description=what)


def clean(text: object) -> str:
    """The text on one line, without control characters."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text))


def moment(seconds: float) -> str:
    """A time as people write it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cell(name: str, value: object) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and (name == "at" or name.endswith("_at")):
        return moment(value)
    if isinstance(value, list) and not any(isinstance(part, dict | list) for part in value):
        return clean(", ".join(map(str, value)))
    return clean(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value)


def _table(header: Sequence[str] | None, rows: Iterable[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in ([header] if header else []) + list(rows):
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header is not None)
    for name in header or ("", ""):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
