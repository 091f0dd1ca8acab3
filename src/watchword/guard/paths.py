"""Paths: the one that the router will see, and the patterns that a policy holds against it."""

import re
from collections.abc import Mapping
from typing import Final, final

_LITERAL = re.compile(r"[^{}*?#%]*")  # "%" too: the path that is judged has been decoded
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_TWO_READINGS = re.compile(r"[\x00-\x1f\x7f-\x9f\\;]|//|/\.{1,2}(?:/|\Z)")
_REST: Final = "/**"


def route_path(scope: Mapping[str, object]) -> str | None:
    """The path as the router behind the wall sees it: ``path`` without ``root_path``; None if the scope is broken.

    ``root_path`` is taken off only where a segment ends, as Starlette's router does it: a bare prefix would turn
    ``/apiadmin`` under ``/api`` into ``admin``.
    """
    path, root = scope.get("path"), scope.get("root_path", "")
    if not isinstance(path, str) or not isinstance(root, str):
        return None
    if root and path.startswith(root) and path[len(root) :][:1] in ("", "/"):
        return path[len(root) :]
    return path


def has_one_reading(path: str) -> bool:
    """Whether every server, proxy and file system reads this path alike; only such paths match a policy's row.

    Dot segments, empty segments, backslashes, ``;`` (path parameters in some stacks) and control characters have
    several readings.
    """
    if not path.startswith("/"):
        return False
    if path.isascii() and path.isprintable() and "//" not in path and "/." not in path:
        return "\\" not in path and ";" not in path  # nearly all paths: half the time of the search
    return _TWO_READINGS.search(path) is None


@final
class Pattern:
    """One path pattern: literal segments, ``{name}`` for one segment that is not empty, and ``/**`` at the end.

    ``/admin/**`` holds ``/admin`` too. ``ValueError`` for anything else that could be meant by a pattern.
    ``segments`` are literal texts, or None where any text fits; ``rest`` is whether more may follow.
    """

    __slots__ = ("rest", "segments", "text")

    def __init__(self, text: str) -> None:
        if not text.startswith("/"):
            raise ValueError("a path pattern is a text that begins with /")
        self.text = text
        self.rest = text.endswith(_REST)
        fixed = text.removesuffix(_REST)
        if fixed and (not has_one_reading(fixed) or (self.rest and fixed.endswith("/"))):
            raise ValueError(f"the path pattern {text!r} could never match, as its paths have several readings")
        self.segments = tuple(self._segment(part) for part in fixed.split("/")[1:])

    def _segment(self, part: str) -> str | None:
        """The literal text of a segment, or None where any text fits."""
        if _PARAMETER.fullmatch(part):
            return None
        if not _LITERAL.fullmatch(part):
            raise ValueError(f"the pattern {self.text!r} holds what is neither plain text, {{name}} nor /** at its end")
        return part

    @property
    def literal(self) -> bool:
        """Whether it holds one path only: its text."""
        return not self.rest and None not in self.segments

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"
