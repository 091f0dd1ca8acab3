"""HTTP to the authority, for the guard's follower and for a service's client: one small client over `http.client`.

No redirect is followed, no proxy is asked, no body is read without a limit, and no answer may take longer than it is
given, even if it comes byte by byte. Blocking; never to be used on an event loop.
"""

import base64
import contextlib
import http.client
import io
import math
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO, Final, final
from urllib.parse import quote_plus, urlsplit

_CHUNK: Final = 64 * 1024
_ENVIRONMENT: Final = "WATCHWORD_CLIENT"


class TransportError(Exception):
    """There is no answer: the peer could not be reached, broke off, was too slow or sent too much."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A client's id and secret; the secret is not in its repr."""

    client_id: str
    client_secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of ``Authorization``: both parts form-encoded first, as RFC 6749 section 2.3.1 wants."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    @classmethod
    def later(cls, client_id: str | None, client_secret: str | None) -> Callable[[], "Credentials | None"]:
        """How to get the credentials given, else ``WATCHWORD_CLIENT_ID`` and ``WATCHWORD_CLIENT_SECRET`` (``…_FILE``).

        The environment and the file are read at each call, which gives None where nothing is set. ``ValueError`` for
        one half of a pair, here or there; ``OSError`` there for a file that cannot be read.
        """
        if client_id is not None or client_secret is not None:
            given = cls._pair(client_id, client_secret)
            return lambda: given
        return lambda: cls._pair(os.environ.get(f"{_ENVIRONMENT}_ID"), _secret_from_environment())

    @classmethod
    def _pair(cls, client_id: str | None, client_secret: str | None) -> "Credentials | None":
        if client_id and client_secret:
            return cls(client_id, client_secret)
        if client_id is None and client_secret is None:
            return None
        raise ValueError("client_id and client_secret belong together: one of them is missing or empty")


def _secret_from_environment() -> str | None:
    file = os.environ.get(f"{_ENVIRONMENT}_SECRET_FILE")
    return Path(file).read_text("utf-8").strip() if file else os.environ.get(f"{_ENVIRONMENT}_SECRET")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the authority is: host, port and the path that its endpoints' paths are appended to."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, plain_http_anywhere: bool = False) -> "Address":
        """Read a base URL; ``ValueError`` for user info, query or fragment, and for plain http beyond loopback.

        Keys and secrets travel here: whoever can change them on the way owns the service.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError(f"not an http or https URL: {url!r}")
        if "@" in parts.netloc or "?" in url or "#" in url:
            raise ValueError("the authority's URL has no user info, query or fragment")
        secure = parts.scheme == "https"
        if not secure and not plain_http_anywhere and not _is_loopback(parts.hostname):
            raise ValueError("plain http beyond this machine: use https (or unsafely_allow_plain_http=True)")
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80), parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The base URL, in one spelling."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme, usual = ("https", 443) if self.secure else ("http", 80)
        return f"{scheme}://{host}{'' if self.port == usual else f':{self.port}'}{self.path}"


def locate(url: str, *, plain_http_anywhere: bool = False) -> tuple[Address, str]:
    """The origin of a URL, and what to ask for there, a query included; ``ValueError`` for what `Address` refuses."""
    whole, mark, query = url.partition("?")
    address = Address.parse(whole, plain_http_anywhere=plain_http_anywhere)
    if not url.isascii() or not query.isprintable() or " " in query or "#" in query:
        raise ValueError(f"not an http or https URL: {url!r}")
    return replace(address, path=""), (urlsplit(whole).path or "/") + mark + query


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@final
class Connection:
    """A connection to the authority that is opened at need and kept; one thread uses it, another may interrupt it."""

    def __init__(self, address: Address, *, max_bytes: int) -> None:
        self.address = address
        self._max_bytes = max_bytes
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._interrupted = False

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        seconds: float,
        connect_seconds: float = math.inf,
    ) -> Reply:
        """Ask, and read the whole answer within ``seconds``; `TransportError` if there is none.

        ``connect_seconds`` of these are for a connection, if there is none yet; to look up the name has no limit.
        """
        deadline = time.monotonic() + seconds
        try:
            connection = self._opened(deadline, connect_seconds)
            connection.request(method, self.address.path + path, body=body, headers=dict(headers))
            with connection.getresponse() as response:
                reply = Reply(response.status, response.headers, self._body(response))
                kept = not response.will_close
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise TransportError(_cause(error)) from None
        except TransportError:
            self.close()
            raise
        if not kept:
            self.close()
        return reply

    def interrupt(self) -> None:
        """From another thread: make a `request` that is under way, and all later ones, fail at once."""
        self._interrupted = True
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):  # it may have been closed in the meantime
                # On the bare TCP socket: an SSLSocket's own shutdown would swap its state under the reader.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close; the next `request` opens again."""
        connection, self._connection, self._socket = self._socket, None, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's connection without a byte or a shutdown reaching its peer."""
        connection, self._connection, self._socket = self._socket, None, None
        if connection is not None and (descriptor := connection.detach()) >= 0:
            os.close(descriptor)

    def _opened(self, deadline: float, connect_seconds: float) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(min(deadline, time.monotonic() + connect_seconds))
        if self._interrupted:
            raise TransportError("interrupted")
        if self._socket is not None:
            connection.sock = _Deadlined(self._socket, deadline)
        return connection

    def _connect(self, deadline: float) -> http.client.HTTPConnection:
        host, port = self.address.host, self.address.port
        connection = http.client.HTTPConnection(host, port)
        opened = _dial(host, port, deadline, self._use)
        self._use(opened)  # again: an interrupt just before the connect found nothing to shut
        if self.address.secure:
            context = ssl.create_default_context()  # each time: what the machine trusts may change
            connection = http.client.HTTPSConnection(host, port, context=context)
            wrapped = context.wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
            self._use(wrapped)
            try:
                wrapped.settimeout(_remaining(deadline))
                wrapped.do_handshake()
            except TimeoutError:
                raise TransportError("no connection in time") from None
            opened = wrapped
        connection.auto_open = 0  # never reopened behind our back, without a deadline
        connection.sock = opened
        return connection

    def _use(self, sock: socket.socket) -> None:
        """From here on `interrupt` reaches this socket, which need not be connected yet, and `close` closes it."""
        self._socket = sock
        if self._interrupted:
            raise TransportError("interrupted")

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        if response.length is not None and response.length > self._max_bytes:
            raise TransportError(f"an answer over {self._max_bytes} bytes")
        body = bytearray()
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise TransportError(f"an answer over {self._max_bytes} bytes")
        if response.length:
            raise TransportError("the answer broke off")
        return bytes(body)


def _dial(host: str, port: int, deadline: float, use: Callable[[socket.socket], None]) -> socket.socket:
    """A TCP connection. The addresses of a name share the time, so that one that is dead leaves some for the next.

    ``use`` is told of each socket before it is connected.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    why: OSError = TimeoutError()
    for left, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
        sock = socket.socket(family, kind, protocol)
        use(sock)
        try:
            sock.settimeout(_remaining(deadline) / left)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            why = error
        else:
            return sock
    raise TransportError("no connection in time") if isinstance(why, TimeoutError) else why


class _Deadlined:
    """What `http.client` uses of a socket, with one deadline for everything."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_remaining(self._deadline))
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> BinaryIO:
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        pass  # http.client closes early, before a last answer is read; the Connection closes


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._socket = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]  # the only buffer that BufferedReader gives
        self._socket.settimeout(_remaining(self._deadline))
        return self._socket.recv_into(buffer)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _cause(error: Exception) -> str:
    """What went wrong, without quoting what was sent or received."""
    if isinstance(error, TimeoutError):
        return "no whole answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"no proper HTTP answer ({type(error).__name__})"
