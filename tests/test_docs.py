"""The documentation is held against the code, both ways; its blocks are run, and its links lead somewhere."""

from pathlib import Path

import pytest
from tests.docs.pages import NOT_RUN, ROOT, RUN, anchors, blocks, links, pages
from tests.docs.runner import TUTORIAL, Page
from tests.docs.world import facts, prepare

PAGES = pages()
WITH_BLOCKS = [page for page in PAGES if any(block.language in RUN for block in blocks(page))]


def name(page: Path) -> str:
    """A page as pytest names it."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=name)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    """Whoever pastes a page's blocks one after another sees what the page says."""
    with Page(page, tmp_path) as running:
        assert running.run() > 0
        if page == TUTORIAL:
            other = tmp_path / "other"
            other.mkdir()
            prepare(other, running.issuer)
            assert facts(running.folder) == facts(other), "the how-to pages begin where the tutorial ends"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_block_escapes_the_runner(page: Path) -> None:
    """A block that could be run is run: no other language hides a command of ours, or curl."""
    for block in blocks(page):
        assert block.language in RUN | NOT_RUN, f"{block.place}: {block.language!r}"
        if block.language == "sh":
            words = [line.split()[0] for line in block.text.splitlines() if line.strip()]
            assert not {"watchword", "curl", "python"} & set(words), block.place


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links name files that are there, and headings that are in them."""
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, fragment = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name(page)}: {link}"
        assert not fragment or fragment in anchors(target), f"{name(page)}: {link}"
