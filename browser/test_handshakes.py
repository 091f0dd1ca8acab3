"""How pages open WebSockets and streams that need a caller, in a real Chromium."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from browser.chromium import Chromium, Page, Thrown
from tests.docs.pages import DOCS, SCRIPT, blocks
from tests.guard.authority import Authority

from watchword import Issuer, Position

_PAGES: Final = [DOCS / "how-to" / f"{name}.md" for name in ("chat-over-websocket", "stream-events")]
_SHOWN: Final = "".join(block.text for page in _PAGES for block in blocks(page) if block.language == SCRIPT)
"""What the documentation has pages do: `openSocket`, `openAtOnce` and `readEvents`."""

_HELPERS: Final = """
// The ticket alone, from whichever service.
async function ticketFor(token, path, service = "") {
  const answer = await fetch(`${service}/tickets`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ path }),
  });
  return (await answer.json()).ticket;
}

// What happens to a WebSocket, one event after the other.
function watched(socket) {
  const waiting = [], came = [];
  const put = (event) => waiting.length ? waiting.shift()(event) : came.push(event);
  socket.onopen = () => put({ type: "open", protocol: socket.protocol });
  socket.onmessage = (event) => put({ type: "message", data: event.data });
  socket.onclose = (event) => put({ type: "close", code: event.code, reason: event.reason });
  socket.next = () => came.length ? Promise.resolve(came.shift()) : new Promise((done) => waiting.push(done));
  return socket;
}

const at = (path, host = location.host) => `ws://${host}${path}`;
"""
REFUSED: Final = {"type": "close", "code": 1006, "reason": ""}  # all that a page is told of a handshake


def token(authority: Authority, **claims: Any) -> str:
    """A token of now."""
    issuer = Issuer(authority.issuer, authority.key)
    position = Position(authority.epoch, len(authority.entries))
    return issuer.mint(**{"subject": "ada", "audience": "orders", "client": "web", "position": position, **claims})


@pytest.fixture
def page(chromium: Chromium, url: str) -> Iterator[Page]:
    """A page of the service's own."""
    with chromium.page(url) as page:
        page.load(_SHOWN + _HELPERS)
        yield page


def test_a_ticket(page: Page, authority: Authority) -> None:
    """A page gets a ticket with its token, and a WebSocket with its ticket, over which it talks."""
    talk = """
        const chat = watched(await openSocket("/chat", token));
        const opened = await chat.next(), hello = JSON.parse((await chat.next()).data);
        chat.send("hello");
        const echo = (await chat.next()).data;
        chat.close(1000);
        return [opened, hello.subject, hello.seen, echo, (await chat.next()).code];
    """
    opened = {"type": "open", "protocol": ""}
    assert page.run(talk, token=token(authority)) == [opened, "ada", ["", []], "ada: hello", 1000]


def test_a_ticket_twice(page: Page, authority: Authority) -> None:
    """The second WebSocket with it does not open, and the first stays."""
    twice = """
        const url = at(`/chat?ticket=${await ticketFor(token, "/chat")}`), chat = watched(new WebSocket(url));
        const first = [await chat.next(), await chat.next()].map((event) => event.type);
        const second = await watched(new WebSocket(url)).next();
        chat.send("still here");
        return [first, second, (await chat.next()).data];
    """
    assert page.run(twice, token=token(authority)) == [["open", "message"], REFUSED, "ada: still here"]


def test_without(page: Page) -> None:
    """Without a ticket none opens."""
    assert page.run("return watched(new WebSocket(at('/chat'))).next()") == REFUSED


def test_the_reason(page: Page, authority: Authority) -> None:
    """The page is told why when it asks for a ticket, as it is not told at the handshake."""
    ask = "await openSocket('/staff', token)"
    with pytest.raises(Thrown, match="not_permitted"):
        page.run(ask, token=token(authority))
    with pytest.raises(Thrown, match="token_malformed"):
        page.run(ask, token="rubbish")


def test_a_subprotocol(page: Page, authority: Authority) -> None:
    """The other way: the token after the name, which is the answer where the app has none of its own."""
    talk = """
        const url = at("/chat"), both = [own, "watchword.bearer", token];
        const chat = watched(own ? new WebSocket(url, both) : openAtOnce(url, token));
        return [(await chat.next()).protocol, JSON.parse((await chat.next()).data).seen];
    """
    assert page.run(talk, token=token(authority), own=None) == ["watchword.bearer", ["", []]]
    assert page.run(talk, token=token(authority), own="chat") == ["chat", ["", ["chat"]]]
    assert page.run("return watched(openAtOnce(at('/chat'), 'rubbish')).next()") == REFUSED


def test_a_stream(page: Page, authority: Authority) -> None:
    """``EventSource`` can send no token, and needs no ticket: ``fetch`` reads the same stream with one."""
    read = """
        const events = [];
        await new Promise((done) => readEvents("/events", token, (event) => events.push(event) === 3 && done()));
        return events.slice(0, 3);
    """
    assert page.run(read, token=token(authority)) == ["data: ada 0", "data: ada 1", "data: ada 2"]
    with pytest.raises(Thrown, match="token_malformed"):
        page.run("await readEvents('/events', 'rubbish')")
    plain = (
        "return new Promise((done) => new EventSource('/events').onerror = (event) => done(event.target.readyState))"
    )
    assert page.run(plain) == 2  # closed, for good


def test_a_revocation(page: Page, authority: Authority) -> None:
    """It closes the WebSocket, and the page is told why."""
    session = f"s{len(authority.entries)}"
    begin = """
        globalThis.chat = watched(await openSocket("/chat", token));
        return [await chat.next(), await chat.next()].map((event) => event.type);
    """
    assert page.run(begin, token=token(authority, session=session)) == ["open", "message"]
    authority.cut_off("session", session, "session_ended")
    assert page.run("return chat.next()") == {"type": "close", "code": 3000, "reason": "session_ended"}


def test_a_revocation_ends_a_stream(page: Page, authority: Authority) -> None:
    """What is read of it ends as if it were complete, and ``fetch`` is refused with the reason after that."""
    session = f"s{len(authority.entries)}"
    begin = """
        await new Promise((first) => globalThis.ended = readEvents("/events", token, first));
        globalThis.again = () => readEvents("/events", token);
    """
    page.run(begin, token=token(authority, session=session))
    authority.cut_off("session", session, "session_ended")
    page.run("await ended")
    with pytest.raises(Thrown, match="session_ended"):
        page.run("await again()")


def test_pages_of_other_origins(chromium: Chromium, url: str, authority: Authority) -> None:
    """One that the service lists gets a ticket and a WebSocket; one that it does not gets no ticket."""
    talk = """
        const ticket = await ticketFor(token, "/chat", `http://${host}`);
        const chat = watched(new WebSocket(at(`/chat?ticket=${ticket}`, host)));
        return [await chat.next(), await chat.next()].map((event) => event.type);
    """
    host = url.removeprefix("http://")
    for name, outcome in (("localhost", ["open", "message"]), ("other.localhost", None)):
        with chromium.page(url.replace("127.0.0.1", name)) as page:
            page.load(_HELPERS)
            if outcome:
                assert page.run(talk, token=token(authority), host=host) == outcome
            else:
                with pytest.raises(Thrown, match="Failed to fetch"):
                    page.run(talk, token=token(authority), host=host)
