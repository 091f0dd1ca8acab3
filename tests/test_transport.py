"""The transport: addresses, and connections that cost a bounded time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.guard.test_follower import until

from watchword import transport
from watchword.transport import Address, Connection, TransportError, locate


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://auth.example", "https://auth.example"),
        ("https://auth.example:443/", "https://auth.example"),
        ("https://auth.example:8443/auth/", "https://auth.example:8443/auth"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        ("HTTPS://Auth.Example", "https://auth.example"),
    ],
)
def test_one_spelling(given: str, url: str) -> None:
    """An address is written in one way, and read again as the same."""
    assert Address.parse(given).url == url
    assert Address.parse(url) == Address.parse(given)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://auth.example", "https://auth.example", "/"),
        ("https://auth.example/", "https://auth.example", "/"),
        ("https://auth.example:8443/a/keys?b=c&d", "https://auth.example:8443", "/a/keys?b=c&d"),
        ("http://127.0.0.1:9000?x", "http://127.0.0.1:9000", "/?x"),
    ],
)
def test_where_something_is(url: str, origin: str, target: str) -> None:
    """The origin to connect to, and what to ask for there."""
    address, asked = locate(url)
    assert (address.url, asked) == (origin, target)


@pytest.mark.parametrize("query", ["a b", "a#b", "a\r\nb", "\u00e9", "\x00"])
def test_no_query(query: str) -> None:
    """What could be read in two ways is no URL."""
    with pytest.raises(ValueError, match="URL"):
        locate(f"https://auth.example/keys?{query}")


def ask(port: int, **limits: float) -> str:
    """Ask there; what comes of it."""
    connection = Connection(Address.parse(f"http://127.0.0.1:{port}"), max_bytes=100)
    with pytest.raises(TransportError) as caught:
        connection.request("GET", "/", headers={}, **limits)  # type: ignore[arg-type]
    connection.close()
    return str(caught.value)


def test_no_connection(full: int) -> None:
    """A connection that does not come is given up long before the answer would have to be there."""
    assert ask(full, seconds=600, connect_seconds=0.05) == "no connection in time"
    assert ask(full, seconds=0.05) == "no connection in time"


def test_several_addresses(full: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of a name share the time: behind one that is dead, the next is reached."""
    with socket.create_server(("127.0.0.1", 0)) as living:
        addresses = ("127.0.0.1", full), living.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with transport._dial("two.example", 80, time.monotonic() + 0.4, lambda _: None) as reached:
            assert reached.getpeername() == living.getsockname()


def test_interrupted_while_it_connects(full: int) -> None:
    """One thread ends what another waits for, although there is no connection yet."""
    with _asking(Address.parse(f"http://127.0.0.1:{full}")) as connection:
        until(lambda: connection._socket is not None)


def test_interrupted_in_the_handshake() -> None:
    """Nor TLS on it."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with _asking(Address.parse(f"https://127.0.0.1:{mute.getsockname()[1]}")):
            accepted, _ = mute.accept()
            assert accepted.recv(1)
        accepted.close()


def test_interrupted_before_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while a name is looked up, or between two steps, is not lost."""
    connection = Connection(Address.parse("http://127.0.0.1:1"), max_bytes=100)
    look_up = socket.getaddrinfo

    def interrupted(*args: Any, **more: Any) -> Any:
        connection.interrupt()
        return look_up(*args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", interrupted)
    with pytest.raises(TransportError, match="interrupted"):
        connection.request("GET", "/", headers={}, seconds=600)


@contextmanager
def _asking(address: Address) -> Iterator[Connection]:
    """In another thread somebody asks there and waits; at the end that is interrupted, and must fail."""
    connection, failed = Connection(address, max_bytes=100), []

    def ask() -> None:
        try:
            connection.request("GET", "/", headers={}, seconds=600)
        except TransportError as error:
            failed.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield connection
    finally:
        connection.interrupt()
        thread.join(30)
    assert len(failed) == 1
    assert connection._socket is None


def test_a_handshake_that_never_comes() -> None:
    """The time for a connection is for TLS, too."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = Address.parse(f"https://127.0.0.1:{mute.getsockname()[1]}")
        connection = Connection(address, max_bytes=100)
        with pytest.raises(TransportError, match="no connection in time"):
            connection.request("GET", "/", headers={}, seconds=600, connect_seconds=0.05)
        assert connection._socket is None
