"""Write results into docs/explanation/performance.md, between its marks, and draw its picture."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from bench.table import Row, Section, as_markdown
from bench.workers import ROOT

_PAGE: Final = ROOT / "docs" / "explanation" / "performance.md"
_END: Final = "<!-- bench: end -->"
_PICTURE: Final = _PAGE.with_suffix(".svg")

_ORDER: Final = (
    "verify-RS256-2048", "verify-RS256-3072", "verify-ES256", "verify-Ed25519",
    "seen-before", "sign", "wall", "http", "policy", "memory", "hostile", "flood",
)  # fmt: skip


def write(environment: Mapping[str, str], sections: Mapping[str, Section]) -> None:
    """All that has been measured, by this run or one before it."""
    measured = [sections[key] for key in _ORDER if key in sections]
    goals = [
        Section(section.key, section.title, rows)
        for section in measured
        if (rows := [row for row in section.rows if row.goal is not None])
    ]
    tables = "\n".join(f"### {section.title}\n\n{as_markdown(section)}" for section in measured)
    versions = "\n".join(f"| {name} | {value} |" for name, value in environment.items())
    text = _PAGE.read_text("utf-8")
    for mark, content in (
        ("goals", as_markdown(*goals, titled=True)),
        ("tables", tables),
        ("versions", f"| What | Version |\n|---|---|\n{versions}\n"),
    ):
        text = _replaced(text, f"<!-- bench: {mark} -->\n", content)
    _PAGE.write_text(text, "utf-8")
    _PICTURE.write_text(_picture(sections), "utf-8")


def write_alone(mark: str, environment: Mapping[str, str], sections: Sequence[Section]) -> None:
    """What one command of its own has measured, between marks of its own."""
    versions = ", ".join(f"{name} {value}" for name, value in environment.items())
    content = f"{as_markdown(*sections, titled=True)}\nMeasured with: {versions}.\n"
    _PAGE.write_text(_replaced(_PAGE.read_text("utf-8"), f"<!-- bench: {mark} -->\n", content), "utf-8")


def _replaced(text: str, begin: str, content: str) -> str:
    before, _, rest = text.partition(begin)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"the page has no place for {begin.strip()}")
    return f"{before}{begin}\n{content}\n{end}{after}"


_LEFT: Final = 290
_BAR: Final = 18
_STEP: Final = 26
_WIDTH: Final = 760
_STYLE: Final = """
    text { font: 13px system-ui, sans-serif; fill: #24292f }
    .head { font-weight: 600 }
    .ours { fill: #1f6feb }
    .other { fill: #8c959f }
    .bare { fill: #57606a }
    @media (prefers-color-scheme: dark) { text { fill: #d1d9e0 } .bare { fill: #b1bac4 } .other { fill: #6e7681 } }
"""


def _picture(sections: Mapping[str, Section]) -> str:
    """Bars: one verification each, against the bare primitive."""
    first = [("bare primitive", 1.0, "bare")]
    for row in sections["verify-RS256-2048"].rows:
        if row.unit == "x" and "against" not in row.what:
            ours = row.what.startswith(("Verifier", "Guard"))
            first.append((row.what.removesuffix(", RS256-2048"), row.figure.median, "ours" if ours else "other"))
    again = sections["seen-before"].rows
    bare = sections["verify-RS256-2048"].rows[0].figure.median
    seen = [("Guard.verify", _find(again, "Guard.verify, 256 tokens in turn") / bare, "ours")]
    if any(row.what == "fast-jwt's cache" for row in again):
        seen.append(("fast-jwt (Node), with its cache", _find(again, "fast-jwt's cache") / bare, "other"))

    parts: list[str] = []
    y = 22
    for title, bars in (("A token at first sight", first), ("A token seen before", seen)):
        parts.append(f'<text class="head" x="12" y="{y}">{escape(title)}</text>')
        y += 12
        for name, value, kind in sorted(bars, key=lambda bar: bar[1]):
            wide = max(1.0, value * (_WIDTH - _LEFT - 70) / max(bar[1] for bar in first))
            middle = y + _BAR - 5
            parts.append(f'<text x="{_LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{wide:.1f}" height="{_BAR}" rx="2"/>')
            parts.append(f'<text x="{_LEFT + wide + 6:.1f}" y="{middle}">{value:.3g} x</text>')
            y += _STEP
        y += 26
    body = "\n  ".join(parts)
    title = "Time to verify one RS256-2048 token, against the bare signature check"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y - 20}" role="img" aria-label="{title}">\n'
        f"  <title>{title}</title>\n  <style>{_STYLE}  </style>\n  {body}\n</svg>\n"
    )


def _find(rows: list[Row], what: str) -> float:
    return next(row.figure.median for row in rows if row.what == what)
