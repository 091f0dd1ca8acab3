"""Rows of method and path as an index: the first that matches is found without a look at each."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Final, Generic, TypeVar, final

from watchword.guard.paths import Pattern, has_one_reading

ANY: Final = "*"

Value = TypeVar("Value")
_Row = tuple[int, Value]  # how far from the top, and what it gives
_Cell = dict[str | None, _Row[Value]]  # by method, None for the rest: the first row of those that differ in method only


@final
class Table(Generic[Value]):
    """Values, such as a policy's rules, by method and pattern.

    A path that some pattern spells out is one look-up, and so is each shape of others. A shape is where patterns have
    their literal segments: ``/orders/{id}`` and ``/users/{name}`` are of one shape, and however many rows a service
    has, they are of few.
    """

    def __init__(self, rows: Iterable[tuple[str, Pattern, Value]]) -> None:
        literal: dict[str, _Cell[Value]] = {}
        shapes: dict[Hashable, _Shape[Value]] = {}
        for index, (method, pattern, value) in enumerate(rows):
            if pattern.literal:
                cell = literal.setdefault(pattern.text, {})
            else:
                kind = tuple(part is None for part in pattern.segments), pattern.rest
                cell = shapes.setdefault(kind, _Shape(index, pattern)).cell_of(pattern)
            if None not in cell:  # or an earlier row takes every method here
                cell.setdefault(None if method == ANY else method, (index, value))
        self._shapes = tuple(shapes.values())  # in the order of their first rows
        longest = max((shape.length for shape in self._shapes), default=0)
        self._by_parts = {parts: self._fitting(parts) for parts in range(longest + 1)}
        self._open = self._fitting(longest + 1)  # for paths longer than every pattern
        self._literal = {path: self._settled(path, cell) for path, cell in literal.items()}

    def first(self, method: str, path: str) -> Value | None:
        """What the first row that matches gives; None if none does, or if the path has several readings."""
        settled = self._literal.get(path)
        if settled is not None:
            return settled[method] if method in settled else settled[None]
        return self._search(method, path.split("/"), None) if has_one_reading(path) else None

    def _search(self, method: str | None, given: list[str], found: _Row[Value] | None) -> Value | None:
        """The first row among the shapes, unless ``found`` stands above it."""
        for shape in self._by_parts.get(len(given), self._open):
            if found is not None and found[0] < shape.index:
                break
            cell = shape.cells.get(shape.literals(given))
            if cell is not None and (shape.last is None or given[shape.last]):
                row = cell.get(method) or cell.get(None)
                if row is not None and (found is None or row[0] < found[0]):
                    found = row
        return None if found is None else found[1]

    def _settled(self, path: str, cell: _Cell[Value]) -> dict[str | None, Value | None]:
        """What is given for each method that any row names, and (None) for all others, at a path that is spelt out."""
        named = {None, *cell}.union(*(cell for shape in self._shapes for cell in shape.cells.values()))
        given = path.split("/")
        return {method: self._search(method, given, cell.get(method) or cell.get(None)) for method in named}

    def _fitting(self, parts: int) -> "tuple[_Shape[Value], ...]":
        return tuple(s for s in self._shapes if s.length == parts or (s.rest and s.length < parts))


@final
class _Shape(Generic[Value]):
    """The rows that have their literal segments in the same places."""

    __slots__ = ("cells", "index", "last", "length", "literals", "rest")

    def __init__(self, index: int, pattern: Pattern) -> None:
        """``index`` is the first row's.

        ``last`` is the place of a final part that may be any text but none; no other part of a path can be empty.
        """
        self.index = index
        self.rest = pattern.rest
        self.length = len(pattern.segments) + 1  # a path begins with a slash, so its first part is empty
        self.last = self.length - 1 if pattern.segments[-1:] == (None,) else None
        places = [place for place, part in enumerate(pattern.segments, 1) if part is not None]
        self.literals: Callable[[Sequence[str | None]], Hashable] = itemgetter(0, *places)
        self.cells: dict[Hashable, _Cell[Value]] = {}

    def cell_of(self, pattern: Pattern) -> _Cell[Value]:
        """Where the rows of a pattern of this shape belong."""
        return self.cells.setdefault(self.literals(("", *pattern.segments)), {})
