"""Another issuer over real HTTP: it publishes metadata and keys, and misbehaves on request."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from watchword import Issuer, Key

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
JWKS = "/keys"

Misbehave = Callable[["Handler", bytes], None]


class Stranger:
    """An issuer, the server's thread, and what is to go wrong with the next answers."""

    def __init__(self, *keys: Key, path: str = "") -> None:
        self.keys: Iterable[Key] = keys
        self.path = path
        self.asked: Counter[str] = Counter()
        self.agents: set[str | None] = set()
        self.at_once = 0
        self.most_at_once = 0
        self.misbehave: dict[str, Misbehave] = {}  # by path
        self.metadata: dict[str, Any] = {}  # members of the metadata that are to be others
        self.more: list[Any] = []  # members of the JWK Set beside the keys
        self.missing: set[str] = set()
        self.answered = threading.Condition()
        server = self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.stranger = self  # type: ignore[attr-defined]
        self.origin = f"http://127.0.0.1:{server.server_port}"
        self.issuer = self.origin + path
        self.thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """End."""
        self.server.shutdown()
        self.server.server_close()

    def mints(self, key: Key, **settings: Any) -> Issuer:
        """What mints tokens of this issuer with one of its keys, or with one that it does not publish."""
        return Issuer(self.issuer, key, **settings)

    def document(self, path: str) -> bytes | None:
        """What stands at a path; None for nothing."""
        if path in self.missing:
            return None
        if path in (self.path + OPENID, OAUTH + self.path):
            members = {"issuer": self.issuer, "jwks_uri": self.origin + JWKS}
            return json.dumps(members | self.metadata).encode()
        if path.partition("?")[0] == JWKS:
            return json.dumps({"keys": [key.public.to_jwk() for key in self.keys] + self.more}).encode()
        return None

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.asked[JWKS]


class Handler(BaseHTTPRequestHandler):
    """``GET`` of metadata and keys."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def stranger(self) -> Stranger:
        """Whose server this is."""
        found: Stranger = self.server.stranger  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        """Answer, or misbehave."""
        stranger, path = self.stranger, self.path
        body = stranger.document(path)
        with stranger.answered:
            stranger.asked[path] += 1
            stranger.agents.add(self.headers.get("User-Agent"))
            stranger.at_once += 1
            self.counted = True
            stranger.most_at_once = max(stranger.most_at_once, stranger.at_once)
        try:
            misbehave = stranger.misbehave.get(path)
            if misbehave is not None:
                misbehave(self, body or b"")
            elif body is None:
                self.answer(b"{}", 404)
            else:
                self.answer(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.discount()

    def discount(self) -> None:
        """This one is asked no more: said before the end of an answer, as whoever has that may ask again at once."""
        with self.stranger.answered:
            self.stranger.at_once -= self.counted
            self.counted = False
            self.stranger.answered.notify_all()

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        """A proper answer, but for what is asked otherwise."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.discount()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Byte by byte, for ever if nobody minds."""
        while True:
            for byte in data:
                self.connection.sendall(bytes([byte]))
                time.sleep(0.02)

    def half_close(self, data: bytes) -> None:
        """Say no more in the middle of an answer, and go on listening until the peer has gone."""
        self.wfile.write(data)
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        while self.connection.recv(1024):
            pass
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silence."""
