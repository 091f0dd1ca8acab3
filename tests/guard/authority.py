"""A small authority over real HTTP that speaks the feed, and misbehaves on request."""

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from watchword import Key
from watchword.core.feed import Page, PageEntry, PageKey

Misbehave = Callable[["Handler", bytes], None]


class Authority:
    """The log, the server's thread, and what is to go wrong with the next answers."""

    def __init__(self, key: Key, *, beside: "Authority | None" = None) -> None:
        """With a log of its own, or as a replica ``beside`` another on one log."""
        self.key = key
        self.epoch = "e1"
        self.entries: list[PageEntry] = [] if beside is None else beside.entries
        self.asked: list[dict[str, str]] = []
        self.credentials: list[str | None] = []
        self.connections = 0
        self.misbehave: Misbehave | None = None
        self.page_size = 100
        self.change: dict[str, Any] = {}  # members of the page that are to be lies
        self.moved: threading.Condition = threading.Condition() if beside is None else beside.moved
        self.closing = False
        server = self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.authority = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.issuer: str = self.url if beside is None else beside.issuer
        self.thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Answer all who wait, and end."""
        with self.moved:
            self.closing = True
            self.moved.notify_all()
        self.server.shutdown()
        self.server.server_close()

    def cut_off(self, scope: str, name: str, reason: str) -> None:
        """One more entry, and all who wait hear of it."""
        with self.moved:
            self.entries.append(PageEntry(len(self.entries) + 1, scope, name, reason))
            self.moved.notify_all()

    def page(self, after: str | None, hold: float) -> bytes:
        """The answer, after a hold if there is no news."""
        with self.moved:
            number = None if after is None or not after.startswith(f"{self.epoch}.") else int(after.partition(".")[2])
            if number is not None and hold:
                self.moved.wait_for(lambda: self.closing or len(self.entries) != number, hold)
            head, start = len(self.entries), number or 0
            reached = min(head, start + self.page_size)
            keys = [PageKey(self.key.kid, "current", self.key.public.to_jwk())] if number is None else None
            entries = self.entries[start:reached]
            cursor = f"{self.epoch}.{reached}"
            page = Page(self.issuer, "i1", self.epoch, number, reached, head, 0, entries, keys, cursor)
            return msgspec.json.encode(msgspec.to_builtins(page) | self.change)


class Handler(BaseHTTPRequestHandler):
    """``GET /revocations``."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    nonce = ""

    @property
    def authority(self) -> Authority:
        """Whose server this is."""
        found: Authority = self.server.authority  # type: ignore[attr-defined]
        return found

    def setup(self) -> None:
        """Count connections."""
        self.authority.connections += 1
        super().setup()

    def do_GET(self) -> None:
        """Answer, or misbehave."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.nonce = query.get("nonce", "")
        self.authority.asked.append(query | {"path": urlsplit(self.path).path})
        self.authority.credentials.append(self.headers.get("Authorization"))
        page = self.authority.page(query.get("after"), float(query.get("hold", "0")))
        try:
            (self.authority.misbehave or Handler.answer)(self, page)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, body: bytes, status: int = 200, nonce: str | None = None, **headers: str) -> None:
        """A proper answer, but for what is asked otherwise."""
        self.send_response(status)
        self.send_header("Watchword-Nonce", self.nonce if nonce is None else nonce)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Byte by byte, for ever if nobody minds."""
        while True:
            for byte in data:
                self.connection.sendall(bytes([byte]))
                time.sleep(0.02)

    def break_off(self, data: bytes) -> None:
        """Hang up in the middle of an answer."""
        self.wfile.write(data)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silence."""
