"""What was measured, as rows: printed, kept as JSON and written into the documentation."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from bench.measure import Figure

Unit = Literal["x", "times", "µs", "ms", "bytes", "kB", "cores", "a second", ""]

_AT_LEAST: Final = ("times", "a second")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. A ``goal`` is the most that it may be, or the least for how many ``times`` faster or ``a second``."""

    what: str
    figure: Figure
    unit: Unit
    goal: float | None = None

    @property
    def met(self) -> bool:
        """Whether the median reaches the goal."""
        if self.goal is None:
            return True
        return self.figure.median >= self.goal if self.unit in _AT_LEAST else self.figure.median <= self.goal

    @property
    def value(self) -> str:
        """The median with its unit."""
        return f"{_number(self.figure.median)} {self.unit}".rstrip()

    @property
    def spread(self) -> str:
        """The quartiles."""
        low, high = _number(self.figure.low), _number(self.figure.high)
        return "" if low == high else f"{low} to {high}"

    @property
    def wanted(self) -> str:
        """The goal with its sense and unit."""
        if self.goal is None:
            return ""
        sense = "at least" if self.unit in _AT_LEAST else "at most"
        return f"{sense} {_number(self.goal)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one subject. ``key`` names it in the results."""

    key: str
    title: str
    rows: list[Row]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        rows = [Row(row["what"], Figure(**row["figure"]), row["unit"], row["goal"]) for row in values["rows"]]
        return cls(values["key"], values["title"], rows)


def as_text(section: Section) -> str:
    """A section for a terminal."""
    lines = [section.title, "-" * len(section.title)]
    wide = max(len(row.what) for row in section.rows)
    for row in section.rows:
        verdict = "" if row.goal is None else f"{row.wanted:<24}{'reached' if row.met else 'NOT REACHED'}"
        lines.append(f"{row.what:<{wide}}  {row.value:>12}  {f'({row.spread})' if row.spread else '':<18}  {verdict}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def as_markdown(*sections: Section, titled: bool = False) -> str:
    """Sections as one table of the documentation, with a row for the title of each if wished."""
    lines = ["| What | Median | Quartiles | Goal | |", "|---|---:|---:|---|---|"]
    for section in sections:
        if titled:
            lines.append(f"| **{section.title}** | | | | |")
        for row in section.rows:
            verdict = "" if row.goal is None else "reached" if row.met else "**not reached**"
            lines.append(f"| {row.what} | {row.value} | {row.spread} | {row.wanted} | {verdict} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
