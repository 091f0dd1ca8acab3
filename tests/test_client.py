"""A service's own tokens: fetched over real HTTP, kept, renewed, and never in an error."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from watchword.client import AuthorityError, ServiceClient

SECRET = "s3cr:t/+ö"


class TokenEndpoint:
    """Answers ``/token`` and ``/data-tokens``, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, Any]] = []
        self.answer: tuple[int, object] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.endpoint = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """POST only."""

    def do_POST(self) -> None:
        """Number the tokens."""
        endpoint: TokenEndpoint = self.server.endpoint  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = self.path == "/token"
        asked: Any = {name: values[0] for name, values in parse_qs(body).items()} if form else json.loads(body)
        endpoint.asked.append((self.path, self.headers["Authorization"], asked))
        endpoint.gate.wait(10)
        number = len(endpoint.asked)
        kind = "access_token" if form else "data_token"
        good: tuple[int, object] = (200, {kind: f"t{number}", "token_type": "Bearer", "expires_in": 300})
        status, answer = endpoint.answer or good
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    """A running endpoint."""
    running = TokenEndpoint()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def now() -> list[float]:
    """A clock that stands."""
    return [1000.0]


@pytest.fixture
def client(endpoint: TokenEndpoint, now: list[float]) -> ServiceClient:
    """The service orders, which calls billing."""
    return ServiceClient(
        endpoint.url, audience="billing", client_id="orders", client_secret=SECRET, clock=lambda: now[0]
    )


def test_fetched_once(client: ServiceClient, endpoint: TokenEndpoint) -> None:
    """A token is asked for by client credentials, and kept."""
    assert not endpoint.asked
    assert client.token() == client.token() == "t1"
    assert client.bearer() == {"Authorization": "Bearer t1"}
    basic = base64.b64encode(b"orders:s3cr%3At%2F%2B%C3%B6").decode()
    assert endpoint.asked == [("/token", f"Basic {basic}", {"grant_type": "client_credentials", "audience": "billing"})]


def test_renewed_in_time(client: ServiceClient, endpoint: TokenEndpoint, now: list[float]) -> None:
    """Half a minute before its end a token is replaced; a short one after four fifths of its life."""
    assert client.token() == "t1"
    now[0] += 269.9
    assert client.token() == "t1"
    now[0] += 0.2
    assert client.token() == "t2"
    client.forget()
    endpoint.answer = (200, {"access_token": "short", "expires_in": 10})
    assert client.token() == "short"
    endpoint.answer = None
    now[0] += 7.9
    assert client.token() == "short"
    now[0] += 0.2
    assert client.token() == "t4"


def test_renewal_that_fails(client: ServiceClient, endpoint: TokenEndpoint, now: list[float]) -> None:
    """The old token serves until its end while no new one is to be had, and the authority is not hammered."""
    assert client.token() == "t1"
    endpoint.answer = (503, {"code": "unavailable"})
    now[0] += 280
    assert client.token() == client.token() == "t1"
    assert len(endpoint.asked) == 2
    now[0] += 6
    assert client.token() == "t1"
    assert len(endpoint.asked) == 3
    now[0] += 20
    with pytest.raises(AuthorityError) as refused:
        client.token()
    assert (refused.value.code, refused.value.status) == ("unavailable", 503)


def test_forget(client: ServiceClient) -> None:
    """After a 401 the next token is a new one."""
    assert client.token() == "t1"
    client.forget()
    assert client.token() == "t2"


def test_single_flight(client: ServiceClient, endpoint: TokenEndpoint) -> None:
    """Threads that need a token at once share one request."""
    endpoint.gate.clear()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(client.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    endpoint.gate.set()
    for thread in threads:
        thread.join()
    assert got == ["t1"] * 8
    assert len(endpoint.asked) == 1


async def test_async(client: ServiceClient) -> None:
    """The same for coroutines."""
    assert await client.atoken() == await client.atoken() == "t1"
    assert await client.abearer() == {"Authorization": "Bearer t1"}
    assert await client.adata_token("billing", {"n": 1}) == "t3"


def test_data_token(client: ServiceClient, endpoint: TokenEndpoint) -> None:
    """Data is signed under the service's own token for the authority."""
    assert client.data_token("billing", {"order": 17}) == "t2"
    (_, _, form), (path, authorization, body) = endpoint.asked
    assert form["audience"] == endpoint.url
    assert (path, authorization, body) == (
        "/data-tokens",
        "Bearer t1",
        {"audience": "billing", "data": {"order": 17}},
    )
    client.data_token("billing", {})
    assert len(endpoint.asked) == 3


def test_data_token_after_a_revocation(client: ServiceClient, endpoint: TokenEndpoint) -> None:
    """Where our own token has died, a new one is fetched, once."""
    client.data_token("billing", {})
    endpoint.answer = (401, {"code": "client_revoked"})
    with pytest.raises(AuthorityError, match="client_revoked"):
        client.data_token("billing", {})
    assert [path for path, *_ in endpoint.asked[2:]] == ["/data-tokens", "/token"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {"error": "invalid_client"}), "invalid_client"),
        ((400, {"error": "invalid_target", "code": "other"}), "invalid_target"),
        ((500, b"oops"), "unexpected_answer"),
        ((400, {"error": "<b> x"}), "unexpected_answer"),
        ((302, {}), "unexpected_answer"),
        ((200, b"<html>"), "unexpected_answer"),
        ((200, {"access_token": "t"}), "unexpected_answer"),
        ((200, {"access_token": "", "expires_in": 300}), "unexpected_answer"),
        ((200, {"access_token": 5, "expires_in": 300}), "unexpected_answer"),
        ((200, {"access_token": "t", "expires_in": "300"}), "unexpected_answer"),
        ((200, {"access_token": "t", "expires_in": 0}), "unexpected_answer"),
    ],
)
def test_refused(client: ServiceClient, endpoint: TokenEndpoint, answer: tuple[int, object], code: str) -> None:
    """Whatever is no token is an error with a code, and holds no secret."""
    endpoint.answer = answer
    with pytest.raises(AuthorityError) as refused:
        client.token()
    assert refused.value.code == code
    assert "s3cr" not in repr(refused.value) + str(refused.value) + repr(client) + repr(vars(client))


def test_unreachable(endpoint: TokenEndpoint) -> None:
    """So is an authority that does not answer."""
    client = ServiceClient("http://127.0.0.1:1", audience="b", client_id="a", client_secret=SECRET)
    with pytest.raises(AuthorityError) as refused:
        client.token()
    assert (refused.value.code, refused.value.status) == ("unreachable", None)


def test_environment(endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come from the environment where none are given."""
    client = ServiceClient(endpoint.url, audience="billing")
    with pytest.raises(AuthorityError, match="no client credentials"):
        client.token()
    monkeypatch.setenv("WATCHWORD_CLIENT_ID", "orders")
    monkeypatch.setenv("WATCHWORD_CLIENT_SECRET", "hush")
    assert client.token() == "t1"


@pytest.mark.parametrize(
    "settings", [{"audience": ""}, {"client_id": "x"}, {"client_secret": "x"}, {"client_id": "", "client_secret": ""}]
)
def test_misuse(settings: dict[str, str]) -> None:
    """What cannot be meant is an error at the start."""
    with pytest.raises(ValueError, match=r"."):
        ServiceClient("https://auth.example", **{"audience": "billing"} | settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="plain http"):
        ServiceClient("http://auth.example", audience="billing")
