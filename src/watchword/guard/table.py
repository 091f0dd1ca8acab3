"""A policy's rows as an index: the first that matches is found without a look at each."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Final, final

from watchword.guard.paths import Pattern
from watchword.guard.rules import Rule

ANY: Final = "*"

_Row = tuple[int, Rule]  # how far from the top, and the rule
_Cell = dict[str | None, _Row]  # by method, None for the rest: the first row of those that differ in method only


@final
class Table:
    """Rows by method and pattern. Those with literal paths are one look-up, and so is each shape of all the others.

    A shape is where patterns have their literal segments: ``/orders/{id}`` and ``/users/{name}`` are of one shape, and
    however many rows a service has, they are of few.
    """

    def __init__(self, rows: Iterable[tuple[str, Pattern, Rule]]) -> None:
        self._literal: dict[str, _Cell] = {}
        shapes: dict[Hashable, _Shape] = {}
        for index, (method, pattern, rule) in enumerate(rows):
            if pattern.literal:
                cell = self._literal.setdefault(pattern.text, {})
            else:
                kind = tuple(part is None for part in pattern.segments), pattern.rest
                cell = shapes.setdefault(kind, _Shape(index, pattern)).cell_of(pattern)
            if None not in cell:  # or an earlier row takes every method here
                cell.setdefault(None if method == ANY else method, (index, rule))
        self._shapes = tuple(shapes.values())  # in the order of their first rows

    def first(self, method: str, path: str) -> Rule | None:
        """The rule of the first row that matches; None if none does."""
        cell = self._literal.get(path)
        found = cell and (cell.get(method) or cell.get(None))
        if self._shapes:
            given = path.split("/")
            for shape in self._shapes:
                if found and found[0] < shape.index:
                    break
                cell = shape.cell(given)
                row = cell and (cell.get(method) or cell.get(None))
                if row and not (found and found[0] < row[0]):
                    found = row
        return found[1] if found else None


@final
class _Shape:
    """The rows that have their literal segments in the same places."""

    __slots__ = ("_cells", "_ends_open", "_length", "_literals", "_rest", "index")

    def __init__(self, index: int, pattern: Pattern) -> None:
        """``index`` is the first row's."""
        self.index = index
        self._rest = pattern.rest
        self._length = len(pattern.segments) + 1  # a path begins with a slash, so its first part is empty
        self._ends_open = pattern.segments[-1:] == (None,)
        places = [place for place, part in enumerate(pattern.segments, 1) if part is not None]
        self._literals: Callable[[Sequence[str | None]], Hashable] = itemgetter(0, *places)
        self._cells: dict[Hashable, _Cell] = {}

    def cell_of(self, pattern: Pattern) -> _Cell:
        """Where the rows of a pattern of this shape belong."""
        return self._cells.setdefault(self._literals(("", *pattern.segments)), {})

    def cell(self, given: list[str]) -> _Cell | None:
        """The rows that match a path's parts, of which none but the last can be empty."""
        parts = len(given)
        if parts != self._length and not (self._rest and parts > self._length):
            return None
        if self._ends_open and not given[self._length - 1]:
            return None
        return self._cells.get(self._literals(given))
