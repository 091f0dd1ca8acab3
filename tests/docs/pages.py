"""Pages of the documentation, read as data: their blocks, tables, sections and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
SHELL: Final = "bash"
PYTHON: Final = "python"
SHOWN: Final = "text"
SCRIPT: Final = "js"
RUN: Final = frozenset({SHELL, PYTHON})
"""The languages whose blocks are run."""
NOT_RUN: Final = frozenset({SHOWN, SCRIPT, "sh", "toml", "json", "http", "mermaid"})
"""Output, fragments and pictures; ``sh`` is for what prepares a machine: git, make, pip. Scripts run in a browser."""

_ORDER = re.compile(r"\s*<!-- run: (.+?) -->\s*")
_FENCE = re.compile(r"(\s*)```(.*)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"# ([\w/-]+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block, with the orders to the runner that stand before it."""

    page: Path
    line: int
    language: str
    text: str
    orders: tuple[str, ...]

    @property
    def file(self) -> str | None:
        """The name in the first line's comment: the block shows that file."""
        match = _FILE.match(self.text) if self.language == PYTHON else None
        return match[1] if match else None

    @property
    def place(self) -> str:
        """Where it stands, for the message of a failure."""
        return f"{'/'.join(self.page.parts[-2:])}:{self.line}"


def pages() -> list[Path]:
    """Every page that is written for users. Decisions are records, not instructions."""
    written = [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")]
    return written + sorted(page for page in DOCS.rglob("*.md") if "decisions" not in page.parts)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    orders: list[str] = []
    language: str | None = None
    start, indent, lines = 0, "", list[str]()
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if language is None and (order := _ORDER.fullmatch(line)):
            orders.append(order[1])
        elif fence and language is None:
            language, start, indent, lines = fence[2], number, fence[1], []
        elif fence and language is not None:
            found.append(Block(page, start, language, "\n".join(lines) + "\n", tuple(orders)))
            language, orders = None, []
        elif language is not None:
            lines.append(line.removeprefix(indent))
    return found


def sections(page: Path, level: int = 3) -> dict[str, str]:
    """The sections of a page under headings of that level: heading to text, up to the next heading as high."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    fenced = False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.fullmatch(r"(#{1,6}) (.*)", line)
        if heading and len(heading[1]) <= level:
            current = found.setdefault(heading[2], []) if len(heading[1]) == level else None
        elif current is not None:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def rows(text: str, header: str) -> list[list[str]]:
    """The rows of every table whose first column has that header; cells without the marks of code."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] == header:
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            found.append([plain(cell) for cell in cells])
    return found


def plain(cell: str) -> str:
    """A cell's text without the marks of code."""
    return cell.replace("`", "")


def codes(text: str) -> list[str]:
    """Every code span of a text."""
    return _CODE.findall(text)


def links(page: Path) -> Iterator[str]:
    """Where the page's links lead; those in fenced blocks are no links."""
    fenced = False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            yield from _LINK.findall(_CODE.sub("", line))


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings answer to, as GitHub makes them."""
    found: set[str] = set()
    fenced = False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (heading := re.fullmatch(r"#{1,6} (.*)", line)):
            found.add(re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-"))
    return found
