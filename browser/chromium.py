"""A real Chromium without a window, driven over its DevTools protocol."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from examples.processes import end_with_parent, eventually
from websockets.sync.client import ClientConnection, connect

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",  # nothing on this machine needs the makers' hosts
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_START_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
_END_SECONDS: Final = 20.0


def program() -> str | None:
    """Where Chromium is: in ``TEST_CHROMIUM``, or on the path."""
    return os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


class Thrown(Exception):
    """A script in a page threw something."""


@contextlib.contextmanager
def started(folder: Path) -> Iterator["Chromium"]:
    """A browser with nothing kept from any other. ``folder`` is for its profile and what it says."""
    found, profile, log = program(), folder / "profile", folder / "log"
    assert found is not None
    command = [found, *_OPTIONS, f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # root's Chromium does not start with one; all pages are ours
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, preexec_fn=end_with_parent(signal.SIGKILL)
        )
    try:
        port = profile / "DevToolsActivePort"
        ready = eventually(lambda: port.exists() and port.read_text().count("\n") == 1, _START_SECONDS)
        assert ready, f"Chromium did not start. It said:\n{log.read_text(errors='replace')}"
        number, path = port.read_text().split("\n")
        with connect(f"ws://127.0.0.1:{number}{path}", proxy=None, max_size=None) as socket:
            yield (browser := Chromium(socket))
            browser.call("Browser.close")
        process.wait(_END_SECONDS)
    finally:
        process.kill()
        process.wait()


class Chromium:
    """One browser; what it is told goes over one socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count()

    @contextlib.contextmanager
    def page(self, url: str) -> Iterator["Page"]:
        """A page at this address, in a context of its own; it is closed afterwards, with all that it opened."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            page = Page(self, session)
            page.visit(url)
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(self, method: str, session: str | None = None, until: str | None = None, **parameters: Any) -> Any:
        """One command's result, once it has answered and, where that is asked for, the event ``until`` has come."""
        number, result, event = next(self._numbers), None, until is None
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({} if session is None else {"sessionId": session})))
        while result is None or not event:
            told = json.loads(self._socket.recv(_ANSWER_SECONDS))
            if told.get("id") == number:
                assert "error" not in told, told["error"]
                result = told["result"]
            event = event or (told.get("method") == until and told.get("sessionId") == session)
        return result


class Page:
    """One page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        browser.call("Page.enable", session)

    def visit(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self._browser.call("Page.navigate", self._session, until="Page.loadEventFired", url=url)

    def run(self, script: str, **values: object) -> Any:
        """What the body of an async function returns, in which these values have names; `Thrown` if it throws."""
        names, texts = ", ".join(values), ", ".join(map(json.dumps, values.values()))
        told = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=f"(async ({names}) => {{ {script} }})({texts})",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in told:
            raise Thrown(told["exceptionDetails"].get("exception", {}).get("description", "something"))
        return told["result"].get("value")

    def load(self, script: str) -> None:
        """Add a script to the page: what it declares has its name from now on."""
        told = self._browser.call("Runtime.evaluate", self._session, expression=script)
        if "exceptionDetails" in told:
            raise Thrown(told["exceptionDetails"].get("exception", {}).get("description", "something"))
