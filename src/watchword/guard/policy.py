"""A policy: a service's table of rules by method and path."""

import re
from typing import final

from watchword.guard.paths import Pattern
from watchword.guard.rules import Rule
from watchword.guard.table import Table

_METHOD = re.compile(r"[A-Z][A-Z-]*|\*")


@final
class Policy:
    """Rows of (method, path pattern, rule), read from the top: the first row that matches decides, no row refuses.

    ``*`` is any method. HEAD is judged as GET, and so is the handshake of a WebSocket; OPTIONS has no pass of its own.
    Patterns are `watchword.guard.paths.Pattern`. ``ValueError`` or ``TypeError`` for a row that cannot be meant.
    """

    def __init__(self, *rows: tuple[str, str, Rule]) -> None:
        self.rows = rows
        self._first = Table(_compiled(row) for row in rows).first
        if len({(method, path) for method, path, _ in rows}) != len(rows):
            raise ValueError("two rows for the same method and path: the second could never be reached")

    def rule(self, method: str, path: str) -> Rule | None:
        """The rule for a request whose router will see this path; None if no row covers it."""
        return self._first("GET" if method == "HEAD" else method, path)

    def __repr__(self) -> str:
        return "Policy(" + ", ".join(f"({method!r}, {path!r}, {rule})" for method, path, rule in self.rows) + ")"


def _compiled(row: object) -> tuple[str, Pattern, Rule]:
    if not isinstance(row, tuple) or len(row) != 3:
        raise TypeError("a row of a policy is (method, path, rule)")
    method, path, rule = row
    if not isinstance(method, str) or not _METHOD.fullmatch(method) or method == "HEAD":
        raise ValueError(f"no method for a row: {method!r}; methods are upper case or *, and HEAD is judged as GET")
    if not isinstance(rule, Rule):
        raise TypeError(f"the row {method} {path} ends with no rule")
    return method, Pattern(path), rule
