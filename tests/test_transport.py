"""The transport: addresses, and connections that cost a bounded time."""

import socket
import time
from typing import Any

import pytest

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


@pytest.fixture
def full() -> Any:
    """The port of one who takes no more connections: what is sent there is dropped, as by a dead machine."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


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
        with transport._dial("two.example", 80, time.monotonic() + 0.4) as reached:
            assert reached.getpeername() == living.getsockname()


def test_a_handshake_that_never_comes() -> None:
    """The time for a connection is for TLS, too."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = Address.parse(f"https://127.0.0.1:{mute.getsockname()[1]}")
        connection = Connection(address, max_bytes=100)
        with pytest.raises(TransportError, match="no connection in time"):
            connection.request("GET", "/", headers={}, seconds=600, connect_seconds=0.05)
        assert connection._socket is None
