"""The runner of the pages' blocks: what a reader would stumble over is a failure."""

import os
from pathlib import Path

import pytest
from tests.docs.runner import Page


def run(tmp_path: Path, text: str) -> int:
    """Run a page of that text; how many blocks there were."""
    page = tmp_path / "page.md"
    page.write_text(text.replace("~~~", "```"))
    with Page(page, tmp_path) as running:
        return running.run()


def test_blocks_share_one_shell_one_python_and_one_folder(tmp_path: Path) -> None:
    """A variable, a file and a Python name of one block are there in the next."""
    text = """
~~~bash
export COLOUR=green
echo hello > file
~~~
~~~python
import os
seen = os.environ["COLOUR"]
~~~
~~~python
print(seen, open("file").read())
~~~
<!-- run: prints -->
~~~text
green h…o
~~~
~~~python
# shown.py
raise SystemExit("a file that is shown is written, and not run")
~~~
~~~bash
grep -q written shown.py
~~~
"""
    assert run(tmp_path, text) == 5


@pytest.mark.parametrize(
    "text",
    [
        "~~~bash\nfalse\ntrue\n~~~\n",
        "~~~bash\ntrue | false | true\n~~~\n",
        "~~~python\n1 / 0\n~~~\n",
        "<!-- run: refused -->\n~~~bash\ntrue\n~~~\n",
        "~~~bash\necho one\n~~~\n<!-- run: prints -->\n~~~text\ntwo\n~~~\n",
        "~~~bash\necho one; echo two\n~~~\n<!-- run: prints -->\n~~~text\ntwo\none\n~~~\n",
        "<!-- run: nobody knows what -->\n~~~bash\ntrue\n~~~\n",
        "~~~bash\nexit\n~~~\n",
    ],
    ids=["command", "pipe", "exception", "no refusal", "other output", "other order", "unknown order", "exit"],
)
def test_what_a_reader_would_stumble_over_is_a_failure(tmp_path: Path, text: str) -> None:
    """A command that fails in the middle, an exception, other output than the page shows."""
    with pytest.raises(AssertionError):
        run(tmp_path, text)


def test_a_block_is_run_again_until_it_prints_what_is_shown(tmp_path: Path) -> None:
    """What takes a moment may take it."""
    text = """
<!-- run: soon -->
~~~bash
echo . >> times; wc -l < times
~~~
<!-- run: prints -->
~~~text
3
~~~
"""
    assert run(tmp_path, text) == 1


def test_what_runs_in_the_background_ends_with_the_page(tmp_path: Path) -> None:
    """The process is stopped by its id, also where nobody stopped it before."""
    text = """
<!-- run: files in the background until http://127.0.0.1:8000/ -->
~~~bash
python3 -m http.server --bind 127.0.0.1 8000
~~~
<!-- run: stop files -->
<!-- run: start files -->
~~~bash
curl -s -o page http://127.0.0.1:8000/
~~~
"""
    assert run(tmp_path, text) == 2
    process = next((tmp_path / "notes").glob("*.pid")).read_text().strip()
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)
