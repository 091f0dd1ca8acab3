"""Tickets and subprotocols over real sockets, under real servers."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx2
import pytest
from tests.guard.authority import Authority
from tests.sockets.served import SERVERS, served
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from watchword import Issuer, Position

pytestmark = pytest.mark.xdist_group("sockets")  # the services are started once
MARKER = "watchword.bearer"


@pytest.fixture(scope="module", params=SERVERS)
def url(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The service, with one worker and tickets in its memory."""
    with served(request.param, authority.url, tmp_path_factory.mktemp("service") / "log") as url:
        yield url


@pytest.fixture(scope="module", params=SERVERS)
def workers_url(
    request: pytest.FixtureRequest, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The service, with four workers and tickets in a folder."""
    folder = tmp_path_factory.mktemp("workers")
    tickets = folder / "tickets"
    with served(request.param, authority.url, folder / "log", workers=4, tickets=tickets) as url:
        yield url


def token(authority: Authority, **claims: Any) -> str:
    """A token of now."""
    issuer = Issuer(authority.issuer, authority.key)
    position = Position(authority.epoch, len(authority.entries))
    return issuer.mint(**{"subject": "ada", "audience": "orders", "client": "web", "position": position, **claims})


def ask(url: str, bearer: str | None, path: str = "/chat") -> httpx2.Response:
    """Ask for a ticket."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx2.post(f"{url}/tickets", json={"path": path}, headers=headers, trust_env=False, timeout=60)


def ticket(url: str, bearer: str, path: str = "/chat") -> str:
    """A ticket."""
    answer = ask(url, bearer, path)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


def open_chat(url: str, path: str = "/chat", **settings: Any) -> ClientConnection:
    """Open a WebSocket; ``InvalidStatus`` where that is refused."""
    url = url.replace("http", "ws") + path
    chat: ClientConnection = connect(url, proxy=None, compression=None, open_timeout=60, **settings)
    return chat


def refused(url: str, path: str = "/chat", **settings: Any) -> str:
    """The code of the refusal of a handshake."""
    with pytest.raises(InvalidStatus) as caught:
        open_chat(url, path, **settings)
    return str(json.loads(caught.value.response.body or b"{}")["code"])


def test_a_ticket(url: str, authority: Authority) -> None:
    """It opens one WebSocket, whose app sees neither it nor a token in its URL."""
    shown = ticket(url, token(authority))
    with open_chat(url, f"/chat?room=1&ticket={shown}") as chat:
        hello = json.loads(chat.recv())
        assert (hello["subject"], hello["seen"]) == ("ada", ["room=1", []])
        chat.send("hello")
        assert chat.recv() == "ada: hello"
    assert refused(url, f"/chat?ticket={shown}") == "invalid_ticket"


def test_a_ticket_for_another_path(url: str, authority: Authority) -> None:
    """It opens no other, and is spent by the attempt."""
    shown = ticket(url, token(authority, roles=["editor"]), "/staff")
    for path in ("/chat", "/staff"):
        assert refused(url, f"{path}?ticket={shown}") == "invalid_ticket"


def test_who_gets_none(url: str, authority: Authority) -> None:
    """Who would be refused is told why, where a page can read it."""
    assert ask(url, None).json()["code"] == "no_token"
    assert ask(url, token(authority), "/staff").json()["missing"] == ["role editor"]


def test_revoked_in_between(url: str, authority: Authority) -> None:
    """A ticket is no longer worth anything than its token is."""
    bearer = token(authority, session="s1")
    tickets = [ticket(url, bearer) for _ in range(3)]
    authority.cut_off("session", "s1", "session_ended")
    while ask(url, bearer).status_code == 201:  # until the guard has heard of it
        pass
    assert {refused(url, f"/chat?ticket={shown}") for shown in tickets} == {"session_ended"}


def test_a_subprotocol(url: str, authority: Authority) -> None:
    """The name is the answer where the app chooses none, and the token is out of what it sees."""
    with open_chat(url, subprotocols=[Subprotocol(MARKER), Subprotocol(token(authority))]) as chat:
        assert chat.subprotocol == MARKER
        assert json.loads(chat.recv())["seen"] == ["", []]
    offered = [Subprotocol(name) for name in ("other", MARKER, token(authority), "chat")]
    with open_chat(url, subprotocols=offered) as chat:
        assert chat.subprotocol == "chat"
        assert json.loads(chat.recv())["seen"] == ["", ["other", "chat"]]
    assert refused(url, subprotocols=[Subprotocol(MARKER), Subprotocol("rubbish")]) == "token_malformed"


def test_a_header(url: str, authority: Authority) -> None:
    """Who can send the field does as ever; two credentials are none."""
    field = {"Authorization": f"Bearer {token(authority)}"}
    with open_chat(url, additional_headers=field) as chat:
        assert json.loads(chat.recv())["subject"] == "ada"
    shown = ticket(url, token(authority))
    assert refused(url, f"/chat?ticket={shown}", additional_headers=field) == "ambiguous_credentials"


def test_pages_of_other_origins(url: str) -> None:
    """CORS middleware answers for the endpoint as for all others: the wall is behind it."""
    headers = {"Origin": url.replace("127.0.0.1", "localhost"), "Access-Control-Request-Method": "POST"}
    headers["Access-Control-Request-Headers"] = "authorization,content-type"
    preflight = httpx2.options(f"{url}/tickets", headers=headers, trust_env=False)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, headers["Origin"])
    refusal = httpx2.post(f"{url}/tickets", headers=headers, trust_env=False)
    assert (refusal.status_code, refusal.headers["access-control-allow-origin"]) == (401, headers["Origin"])


def _fifty_at_once(url: str, shown: str) -> list[str]:
    """What became of fifty handshakes with one ticket."""
    start = Barrier(50)

    def attempt(_: int) -> str:
        start.wait()
        try:
            with open_chat(url, f"/chat?ticket={shown}") as chat:
                return str(json.loads(chat.recv())["subject"])
        except InvalidStatus as refusal:
            return str(json.loads(refusal.response.body or b"{}")["code"])

    with ThreadPoolExecutor(50) as threads:
        return sorted(threads.map(attempt, range(50)))


def test_a_race(url: str, authority: Authority) -> None:
    """Of fifty who show one ticket at the same time, one gets in."""
    assert _fifty_at_once(url, ticket(url, token(authority))) == ["ada"] + ["invalid_ticket"] * 49


def test_a_race_between_workers(workers_url: str, authority: Authority) -> None:
    """The same where they come to four processes."""
    for _ in range(3):
        assert _fifty_at_once(workers_url, ticket(workers_url, token(authority))) == ["ada"] + ["invalid_ticket"] * 49


def test_workers_share_tickets(workers_url: str, authority: Authority) -> None:
    """Every ticket is good in whichever process its handshake comes to."""
    processes = set()
    for number in range(300):
        shown = ticket(workers_url, token(authority, subject=f"u{number}"))
        with open_chat(workers_url, f"/chat?ticket={shown}") as chat:
            processes.add(json.loads(chat.recv())["process"])
        if len(processes) > 1 and number >= 20:
            break
    assert len(processes) > 1
