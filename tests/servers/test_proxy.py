"""The network that fails: each weather does what it says, and heals."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from examples.processes import eventually
from servers.proxy import Proxy

SECONDS = 10.0
"""More than anything takes that happens at all."""
SILENCE = 0.2
"""Long enough to hear an answer that was not stalled."""


class Echo:
    """A server that sends back what it hears, and remembers it; after the end of a stream it says ``bye``."""

    def __init__(self) -> None:
        self.heard = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):  # it was closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while said := connection.recv(65536):
                    self.heard += said
                    connection.sendall(said)
                connection.sendall(b"bye")
            except OSError:
                self.heard += b"!"


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server behind the proxy."""
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    """The way to the server."""
    with Proxy(echo.url) as proxy:
        yield proxy


@contextmanager
def dialled(proxy: Proxy) -> Iterator[socket.socket]:
    """A client's connection."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS) as client:
        yield client


def ask(client: socket.socket, said: bytes) -> bytes:
    """Say something and hear as many bytes, within the client's patience."""
    client.sendall(said)
    return hear(client, len(said))


def hear(client: socket.socket, size: int) -> bytes:
    """Hear so many bytes."""
    heard = b""
    while len(heard) < size and (more := client.recv(size - len(heard))):
        heard += more
    return heard


def hears_nothing(client: socket.socket) -> bool:
    """Whether nothing comes for a while."""
    client.settimeout(SILENCE)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        client.settimeout(SECONDS)


def is_refused(proxy: Proxy) -> bool:
    """Whether a new connection is refused."""
    try:
        with dialled(proxy):
            return False
    except ConnectionRefusedError:
        return True


def test_well_is_as_if_it_were_not_there(proxy: Proxy) -> None:
    """Everything passes whole, far more than a buffer holds, and so does the end of a stream in one direction."""
    with dialled(proxy) as client:
        much = bytes(range(256)) * 40_000
        sender = threading.Thread(target=client.sendall, args=[much])
        sender.start()
        assert hear(client, len(much)) == much
        sender.join()
        client.shutdown(socket.SHUT_WR)
        assert hear(client, 100) == b"bye"
    assert eventually(lambda: proxy.connections == 0, SECONDS)


def test_its_url_names_the_proxy_and_nothing_else_changes(echo: Echo) -> None:
    """User, password, path and query of the target stay."""
    with Proxy("postgresql://ada:secret@127.0.0.1:5432/db?x=1") as proxy:
        assert proxy.url == f"postgresql://ada:secret@127.0.0.1:{proxy.port}/db?x=1"
    with Proxy(echo.url) as proxy:
        assert proxy.url == f"tcp://127.0.0.1:{proxy.port}"


def test_refusing_leaves_old_connections_alone(proxy: Proxy) -> None:
    """Refused is who comes now."""
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.refuse()
        assert is_refused(proxy)
        assert ask(client, b"two") == b"two"
        proxy.heal()
        with dialled(proxy) as another:
            assert ask(another, b"three") == b"three"


def test_cutting_ends_connections_with_rst(proxy: Proxy, echo: Echo) -> None:
    """Both ends hear it at once, and may connect anew."""
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert eventually(lambda: echo.heard == b"one!", SECONDS)
    with dialled(proxy) as client:
        assert ask(client, b"two") == b"two"


def test_down_is_like_a_killed_process(proxy: Proxy) -> None:
    """Old connections end, new ones are refused."""
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.down()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert is_refused(proxy)


def test_a_black_hole_swallows_and_says_nothing(proxy: Proxy, echo: Echo) -> None:
    """Old connections stall, new ones open and stay silent; what was swallowed arrives when it is over."""
    with dialled(proxy) as old:
        assert ask(old, b"one") == b"one"
        proxy.black_hole()
        with dialled(proxy) as new:
            old.sendall(b"two")
            new.sendall(b"three")
            assert hears_nothing(old)
            assert hears_nothing(new)
            assert echo.heard == b"one"
            proxy.heal()
            assert hear(old, 3) == b"two"
            assert hear(new, 5) == b"three"


def test_what_is_swallowed_is_bounded(proxy: Proxy) -> None:
    """A sender in a black hole has to wait in the end, and the proxy's memory does not grow."""
    with dialled(proxy) as client:
        proxy.black_hole()
        client.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(64 * 1024 * 1024))


def test_cutting_a_black_hole_loses_what_it_swallowed(proxy: Proxy, echo: Echo) -> None:
    """What did not arrive before the cut never does."""
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.black_hole()
        client.sendall(b"two")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.heal()
    with dialled(proxy) as client:
        assert ask(client, b"three") == b"three"
    assert echo.heard.replace(b"!", b"") == b"onethree"


def test_half_open_loses_the_answers_alone(proxy: Proxy, echo: Echo) -> None:
    """The server hears the question; the client waits."""
    with dialled(proxy) as client:
        proxy.half_open("to_client")
        client.sendall(b"one")
        assert eventually(lambda: echo.heard == b"one", SECONDS)
        assert hears_nothing(client)
        proxy.heal()
        assert hear(client, 3) == b"one"


def test_half_open_loses_the_questions_alone(echo: Echo, proxy: Proxy) -> None:
    """The way back stays open: what was asked before is answered."""
    with dialled(proxy) as client:
        proxy.half_open("to_client")
        client.sendall(b"one")
        assert eventually(lambda: echo.heard == b"one", SECONDS)
        proxy.half_open("to_server")
        client.sendall(b"two")
        assert hear(client, 3) == b"one"
        assert hears_nothing(client)
        assert echo.heard == b"one"


def test_a_delay_is_paid_both_ways_and_ends_when_it_heals(proxy: Proxy) -> None:
    """Nothing comes early; what is under way arrives at once when the weather changes."""
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"
        proxy.delay(3600)
        client.sendall(b"two")
        assert hears_nothing(client)
        proxy.heal()
        assert hear(client, 3) == b"two"
        proxy.delay(0.01)
        assert ask(client, b"three") == b"three"


def test_a_trickle_is_thin_and_whole(proxy: Proxy) -> None:
    """Little by little, all of it comes: not sooner than its rate allows."""
    with dialled(proxy) as client:
        proxy.trickle(100_000)
        begun = time.monotonic()
        client.sendall(bytes(20_000))
        assert 0 < len(first := client.recv(20_000)) < 20_000
        assert len(first) + len(hear(client, 20_000 - len(first))) == 20_000
        assert time.monotonic() - begun > 0.1


def test_flapping_is_down_and_well_by_turns(proxy: Proxy) -> None:
    """Down at first, then well, then down, until it is told otherwise."""

    def turns_to(refused: bool) -> Callable[[], bool]:
        return lambda: is_refused(proxy) is refused

    proxy.flap(0.05)
    assert all(eventually(turns_to(refused), SECONDS, pause=0.001) for refused in (True, False) * 3)
    proxy.heal()
    with dialled(proxy) as client:
        assert ask(client, b"one") == b"one"


def test_who_has_no_server_is_reset(proxy: Proxy, echo: Echo) -> None:
    """The proxy lets a client in before it knows; then it tells."""
    echo.close()
    with pytest.raises(ConnectionResetError), dialled(proxy) as client:
        client.recv(1)


def test_it_ends_with_all_its_connections(echo: Echo) -> None:
    """Nothing is left of it: no thread, no listener, no client, even in a black hole."""
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        with Proxy(echo.url) as proxy:
            client = stack.enter_context(dialled(proxy))
            assert ask(client, b"one") == b"one"
            proxy.black_hole()
            assert proxy.connections == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert is_refused(proxy)
    assert eventually(lambda: threading.active_count() <= before, SECONDS)
