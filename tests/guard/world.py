"""A small world for tests of the guard: an issuer, a log of cutoffs, and a clock that stands still until it is set."""

import json
from dataclasses import replace
from typing import Any

from watchword import Guard, Issuer, Key, Position
from watchword.core.feed import Page, PageEntry, PageKey, fold
from watchword.guard.asgi import App
from watchword.guard.source import Known, Listeners

ISSUER = "https://auth.example"
AUDIENCE = "orders"
EPOCH = "e1"


class World:
    """A source whose log and clocks the test moves, and the issuer whose tokens it is about."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.now = 1000.0  # of the source's clock
        self.wall_time = 1_700_000_000.0
        self.number = 0
        self.wakes = 0
        self.starts = 0
        self.last_error: str | None = None
        self.issuer = Issuer(ISSUER, key, clock=lambda: self.wall_time)
        self.known: Known | None = None
        self.listeners = Listeners()
        self.learn()

    # -- the Source

    def start(self) -> None:
        """Count."""
        self.starts += 1

    def stop(self) -> None:
        """Nothing runs."""

    def clock(self) -> float:
        """What the test has set."""
        return self.now

    def wake(self) -> None:
        """Count."""
        self.wakes += 1

    def wait(self, timeout: float) -> bool:
        """At once."""
        return self.known is not None

    # -- for the test

    @property
    def head(self) -> Position:
        """The head of the log."""
        return Position(EPOCH, self.number)

    def forget_everything(self) -> None:
        """As if no snapshot had ever come."""
        self.known = None

    def learn(self, *, floor: int = 0, withdrawn: tuple[str, ...] = (), epoch: str = EPOCH) -> None:
        """A snapshot without cutoffs, as of now."""
        keys = [PageKey(self.key.kid, "current", self.key.public.to_jwk())]
        if self.key.kid in withdrawn:
            keys = []
        keys += [PageKey(kid, "withdrawn", None) for kid in withdrawn]
        page = Page(ISSUER, "i1", epoch, None, self.number, self.number, floor, [], keys, "c")
        self._know(Known(fold(None, page), self.now))

    def cut_off(self, scope: str, id_: str, reason: str) -> None:
        """One more entry in the log, known as of now."""
        assert self.known is not None
        known = self.known.knowledge
        self.number += 1
        entry = PageEntry(self.number, scope, id_, reason)
        page = Page(ISSUER, "i1", EPOCH, known.number, self.number, self.number, known.floor, [entry], None, "c")
        self._know(Known(fold(known, page), self.now))

    def raise_floor(self, floor: int) -> None:
        """What is below it is forgotten, as of now."""
        assert self.known is not None
        known, number = self.known.knowledge, self.number
        self._know(
            Known(fold(known, Page(ISSUER, "i1", EPOCH, number, number, number, floor, [], None, "c")), self.now)
        )

    def recover(self, epoch: str) -> None:
        """Another epoch, and nothing else is another."""
        assert self.known is not None
        self._know(Known(replace(self.known.knowledge, epoch=epoch), self.now))

    def _know(self, known: Known) -> None:
        before, self.known = self.known, known
        self.listeners.tell(before, known)

    def token(self, **claims: Any) -> str:
        """Ada's token for this service, with changes."""
        position = claims.pop("position", self.head)
        subject, audience = claims.pop("subject", "ada"), claims.pop("audience", AUDIENCE)
        client = claims.pop("client", "web")
        return self.issuer.mint(subject=subject, audience=audience, client=client, position=position, **claims)

    def guard(self, **settings: Any) -> Guard:
        """A guard on this source."""
        return Guard(ISSUER, audience=AUDIENCE, source=self, clock=lambda: self.wall_time, **settings)


class Answered:
    """What an app sent in answer to one request."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.sent = sent
        self.started = [message for message in sent if message["type"].endswith("response.start")]
        self.status: int | None = self.started[0]["status"] if self.started else None
        self.body = b"".join(message.get("body", b"") for message in sent)

    def header(self, name: str) -> str | None:
        """A header's value."""
        found = [value.decode() for key, value in self.started[0]["headers"] if key.decode() == name]
        assert len(found) < 2
        return found[0] if found else None

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        members: dict[str, Any] = json.loads(self.body)
        return members


async def ask(app: App, path: str = "/orders", method: str = "GET", token: str | None = None, **scope: Any) -> Answered:
    """Send one request straight into an ASGI app."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    kind, body = scope.pop("type", "http"), scope.pop("body", b"")
    whole = {"type": kind, "method": method, "path": path, "headers": headers, "root_path": "", **scope}
    if kind == "websocket":
        del whole["method"]
    received = [{"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": body}]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return received.pop(0) if received else {"type": f"{kind}.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(whole, receive, send)
    return Answered(sent)
