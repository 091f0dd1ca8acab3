"""Runs the blocks of a page in order, as a reader would: one folder, one shell, one Python, real processes.

Orders to the runner stand before a block, in comments that no reader sees:

- ``<!-- run: tutorial -->``: first make what the tutorial leaves behind, and start its two processes.
- ``<!-- run: NAME in the background until URL -->``: start the block as a process, and go on once the URL answers.
- ``<!-- run: stop NAME -->`` and ``<!-- run: start NAME -->``: end that process as Ctrl-C does, or start it again.
- ``<!-- run: refused -->``: the block's last command ends with 1.
- ``<!-- run: soon -->``: what the block shall print may take a moment: it is run again until it does.
- ``<!-- run: prints -->``: before a block of text: the lines that the block before it has printed; … is anything.

The ports 8000 to 8009 in a block stand for free ones.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

import httpx2
from examples.processes import eventually, free_port
from tests.docs.pages import DOCS, PYTHON, SHELL, Block, blocks
from tests.docs.world import prepare

SECONDS: Final = 60.0
"""What a block may take at most; none takes a tenth of it."""
SOON: Final = 10.0
"""Much more than a revocation takes to reach a guard."""
END: Final = 20.0
"""What processes may take to end before they are ended by force."""
_PORT = re.compile(r"\b800[0-9]\b")
_BACKGROUND = re.compile(r"(\w+) in the background until (\S+)")
_STOP = re.compile(r"stop (\w+)")
_START = re.compile(r"start (\w+)")
_SESSION: Final = Path(__file__).with_name("session.py")
TUTORIAL: Final = DOCS / "tutorial" / "first-service.md"


class Page:
    """One page on its way through its blocks. Everything that it starts is stopped by `close`."""

    def __init__(self, page: Path, place: Path) -> None:
        self._page = page
        self.folder, self._notes = place / "folder", place / "notes"
        for folder in (self.folder, self._notes):
            folder.mkdir()
        self._ports: dict[str, str] = {}
        self._running: dict[str, tuple[Path, str, str]] = {}  # name: block, address, process id
        self._count = 0
        self._printed = ""
        self._python: subprocess.Popen[str] | None = None
        self._shell = self._child(["bash", "--norc", "--noprofile"])
        self._say("set -o pipefail")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self) -> int:
        """Run every block; how many there were. ``AssertionError`` names the one that failed."""
        found, last = blocks(self._page), list[Block]()
        for block in found:
            for order in block.orders:
                self._obey(order)
            if "prints" in block.orders:
                self._compare(last[-1], block)
            elif block.language in (SHELL, PYTHON):
                last.append(block)
                self._run(block)
        return sum(block.language in (SHELL, PYTHON) for block in found)

    def close(self) -> None:
        """End everything that the page started, by its process group, and wait until it has ended."""
        children = [self._shell, *([self._python] if self._python else [])]
        for child in children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            child.kill()  # bash waits for nobody
            child.wait(SECONDS)
            if child.stdin is not None:
                with suppress(BrokenPipeError):
                    child.stdin.close()
            if not eventually(partial(_is_over, child.pid), END):
                os.killpg(child.pid, signal.SIGKILL)

    @property
    def issuer(self) -> str:
        """The authority that pages have at port 8000."""
        return self._ported("http://127.0.0.1:8000")

    # -- Blocks

    def _run(self, block: Block) -> None:
        text = self._ported(block.text)
        if block.file is not None:
            target = self.folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            return
        for order in block.orders:
            if background := _BACKGROUND.fullmatch(order):
                self._begin(background[1], text, self._ported(background[2]), block.place)
                return
        note = self._note(text)
        # A command that fails is counted, and the whole block after it.
        wanted = "1 2" if "refused" in block.orders else "0 0"
        if block.language == PYTHON:
            self._in_python(note)
        else:
            # In one breath: a block that ends the shell would leave nobody to say the rest to.
            self._say(
                f"trap 'echo $LINENO >> {note}.failed' ERR; : > {note}.failed\n"
                f"source {note}.sh > {note}.out 2>&1 < /dev/null\n"
                f"echo $? $(wc -l < {note}.failed) > {note}.new; trap - ERR; mv {note}.new {note}.status"
            )
        status = self._ended(note, block.place)
        self._printed = self._output(note)
        assert status == wanted, f"{block.place} ended with {status}:\n{self._printed}"

    def _in_python(self, note: Path) -> None:
        self._say(f"env -0 > {note}.env; : > {note}.told")
        assert eventually(note.with_suffix(".told").exists, SECONDS)
        if self._python is None:
            self._python = self._child([sys.executable, str(_SESSION)])
        _tell(self._python, f"{note}.sh")

    def _begin(self, name: str, text: str, url: str, place: str) -> None:
        self._launch(name, self._note(text), url, place)

    def _launch(self, name: str, note: Path, url: str, place: str) -> None:
        for suffix in (".pid", ".new"):
            note.with_suffix(suffix).unlink(missing_ok=True)
        # exec, so that the process that is stopped is the command itself and no shell around it
        self._say(f'( trap - ERR; eval "exec env $(cat {note}.sh)" ) >> {note}.out 2>&1 < /dev/null &')
        self._say(f"echo $! > {note}.new; mv {note}.new {note}.pid")
        assert eventually(note.with_suffix(".pid").exists, SECONDS), place
        process = note.with_suffix(".pid").read_text().strip()
        self._running[name] = (note, url, process)
        answers = eventually(lambda: _answers(url) or not _is_there(process), SECONDS)
        assert answers, f"{place}: nobody answers at {url}:\n{self._output(note)}"
        assert _is_there(process), f"{place}: {name} has ended:\n{self._output(note)}"

    def _compare(self, printing: Block, shown: Block) -> None:
        def missing() -> str | None:
            rest = self._printed
            for line in filter(None, map(str.strip, shown.text.splitlines())):
                match = re.search(".*".join(re.escape(part) for part in line.split("…")), rest)
                if match is None:
                    return line
                rest = rest[match.end() :]
            return None

        def again() -> bool:
            if missing() is not None:
                self._run(printing)
            return missing() is None

        if "soon" in printing.orders:
            eventually(again, SOON)
        assert missing() is None, f"{shown.place}: not printed: {missing()}\n--- in\n{self._printed}"

    # -- Orders

    def _obey(self, order: str) -> None:
        if order == "tutorial":
            self._prepare_tutorial()
        elif stop := _STOP.fullmatch(order):
            self._stop(stop[1])
        elif start := _START.fullmatch(order):
            note, url, _ = self._running[start[1]]
            self._launch(start[1], note, url, order)
        elif order not in ("refused", "prints", "soon") and not _BACKGROUND.fullmatch(order):
            raise AssertionError(f"{self._page}: no such order: {order}")

    def _prepare_tutorial(self) -> None:
        issuer = self.issuer
        secret = prepare(self.folder, issuer)
        self._say(f"export WATCHWORD_CLIENT_ID=orders WATCHWORD_CLIENT_SECRET={secret}")
        for block in blocks(TUTORIAL):
            if block.file is not None:
                self._run(block)
        self._begin("authority", "watchword serve\n", f"{issuer}/livez", "the tutorial's authority")
        service = self._ported("uvicorn shop:app --port 8001\n")
        self._begin("service", service, self._ported("http://127.0.0.1:8001/health"), "the tutorial's service")

    def _stop(self, name: str) -> None:
        process = self._running[name][2]
        os.kill(int(process), signal.SIGTERM)
        assert eventually(lambda: not _is_there(process), SECONDS), f"{name} does not end"

    # -- What is beneath

    def _environ(self) -> dict[str, str]:
        """What a reader's shell has, and settings that make passwords and keys quick."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCHWORD_PORT": self._ported("8000"),
            "WATCHWORD_ALGORITHM": "ES256",
            "WATCHWORD_PASSWORD_MEMORY_KIB": "8",
            "WATCHWORD_PASSWORD_ROUNDS": "1",
        }

    def _ported(self, text: str) -> str:
        def real(match: re.Match[str]) -> str:
            if match[0] not in self._ports:
                self._ports[match[0]] = str(free_port())
            return self._ports[match[0]]

        return _PORT.sub(real, text)

    def _note(self, text: str) -> Path:
        self._count += 1
        note = self._notes / f"block-{self._count}"
        note.with_suffix(".sh").write_text(text)
        return note

    def _say(self, line: str) -> None:
        _tell(self._shell, line)

    def _child(self, command: list[str]) -> subprocess.Popen[str]:
        with (self._notes / "errors").open("ab") as errors:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environ(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
                start_new_session=True,
            )

    def _ended(self, note: Path, place: str) -> str:
        status = note.with_suffix(".status")
        ended = eventually(lambda: status.exists() or self._shell.poll() is not None, SECONDS, 0.01)
        assert ended, f"{place} takes too long:\n{self._output(note)}"
        assert status.exists(), f"{place} has ended its shell"
        return status.read_text().strip()

    def _output(self, note: Path) -> str:
        """What a block has printed, with the ports of the page."""
        out = note.with_suffix(".out")
        text = out.read_text("utf-8", "replace") if out.exists() else ""
        for shown, real in self._ports.items():
            text = re.sub(rf"\b{real}\b", shown, text)
        return text[-5000:]


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def _is_there(process: str) -> bool:
    """Whether a process of that id lives. The page's shell waits for its children, so that none stays as a zombie."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    return True


def _is_over(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
