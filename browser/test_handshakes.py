"""How pages open WebSockets and streams that need a caller, in a real Chromium."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from browser.chromium import Chromium, Page, Thrown
from tests.guard.authority import Authority

from watchword import Issuer, Position

_HELPERS: Final = """
async function ticketFor(token, path, service = "") {
  const answer = await fetch(`${service}/tickets`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ path }),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.code);
  return told.ticket;
}

function socket(path, protocols = [], host = location.host) {
  const opened = new WebSocket(`ws://${host}${path}`, protocols);
  const waiting = [], came = [];
  const put = (event) => waiting.length ? waiting.shift()(event) : came.push(event);
  opened.onopen = () => put({ type: "open", protocol: opened.protocol });
  opened.onmessage = (event) => put({ type: "message", data: event.data });
  opened.onclose = (event) => put({ type: "close", code: event.code, reason: event.reason });
  opened.next = () => came.length ? Promise.resolve(came.shift()) : new Promise((done) => waiting.push(done));
  return opened;
}
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
        page.load(_HELPERS)
        yield page


def test_a_ticket(page: Page, authority: Authority) -> None:
    """A page gets a ticket with its token, and a WebSocket with its ticket, over which it talks."""
    talk = """
        const chat = socket(`/chat?room=1&ticket=${await ticketFor(token, "/chat")}`);
        const opened = await chat.next(), hello = JSON.parse((await chat.next()).data);
        chat.send("hello");
        const echo = (await chat.next()).data;
        chat.close(1000);
        return [opened, hello.subject, hello.seen, echo, (await chat.next()).code];
    """
    opened = {"type": "open", "protocol": ""}
    assert page.run(talk, token=token(authority)) == [opened, "ada", ["room=1", []], "ada: hello", 1000]


def test_a_ticket_twice(page: Page, authority: Authority) -> None:
    """The second WebSocket with it does not open, and the first stays."""
    twice = """
        const ticket = await ticketFor(token, "/chat"), chat = socket(`/chat?ticket=${ticket}`);
        const first = [await chat.next(), await chat.next()].map((event) => event.type);
        const second = await socket(`/chat?ticket=${ticket}`).next();
        chat.send("still here");
        return [first, second, (await chat.next()).data];
    """
    assert page.run(twice, token=token(authority)) == [["open", "message"], REFUSED, "ada: still here"]


def test_without(page: Page) -> None:
    """Without a ticket none opens."""
    assert page.run("return socket('/chat').next()") == REFUSED


def test_the_reason(page: Page, authority: Authority) -> None:
    """The page is told why when it asks for a ticket, as it is not told at the handshake."""
    ask = "await ticketFor(token, '/staff')"
    with pytest.raises(Thrown, match="not_permitted"):
        page.run(ask, token=token(authority))
    with pytest.raises(Thrown, match="token_malformed"):
        page.run(ask, token="rubbish")


def test_a_subprotocol(page: Page, authority: Authority) -> None:
    """The other way: the token after the name, which is the answer where the app has none of its own."""
    talk = """
        const chat = socket("/chat", [...own, "watchword.bearer", token]);
        return [(await chat.next()).protocol, JSON.parse((await chat.next()).data).seen];
    """
    assert page.run(talk, token=token(authority), own=[]) == ["watchword.bearer", ["", []]]
    assert page.run(talk, token=token(authority), own=["chat"]) == ["chat", ["", ["chat"]]]
    refused = "return socket('/chat', ['watchword.bearer', 'rubbish']).next()"
    assert page.run(refused) == REFUSED


def test_a_stream(page: Page, authority: Authority) -> None:
    """``EventSource`` can send no token, and needs no ticket: ``fetch`` reads the same stream with one."""
    read = """
        const answer = await fetch("/events", { headers: { Authorization: `Bearer ${token}` } });
        const lines = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let text = "";
        while (!text.includes("ada 2")) text += (await lines.read()).value;
        await lines.cancel();
        return text;
    """
    assert page.run(read, token=token(authority)).startswith("data: ada 0\n\ndata: ada 1\n\n")
    plain = (
        "return new Promise((done) => new EventSource('/events').onerror = (event) => done(event.target.readyState))"
    )
    assert page.run(plain) == 2  # closed, for good


def test_a_revocation(page: Page, authority: Authority) -> None:
    """It closes the WebSocket, and the page is told why."""
    session = f"s{len(authority.entries)}"
    begin = """
        globalThis.chat = socket(`/chat?ticket=${await ticketFor(token, "/chat")}`);
        return [await chat.next(), await chat.next()].map((event) => event.type);
    """
    assert page.run(begin, token=token(authority, session=session)) == ["open", "message"]
    authority.cut_off("session", session, "session_ended")
    assert page.run("return chat.next()") == {"type": "close", "code": 3000, "reason": "session_ended"}


def test_a_revocation_ends_a_stream(page: Page, authority: Authority) -> None:
    """What is read of it ends as if it were complete, and ``fetch`` is refused with the reason after that."""
    session = f"s{len(authority.entries)}"
    begin = """
        globalThis.read = () => fetch("/events", { headers: { Authorization: `Bearer ${token}` } });
        globalThis.events = (await read()).body.getReader();
        return (await events.read()).done;
    """
    assert page.run(begin, token=token(authority, session=session)) is False
    authority.cut_off("session", session, "session_ended")
    end = "while (!(await events.read()).done); return (await (await read()).json()).code"
    assert page.run(end) == "session_ended"


def test_pages_of_other_origins(chromium: Chromium, url: str, authority: Authority) -> None:
    """One that the service lists gets a ticket and a WebSocket; one that it does not gets no ticket."""
    talk = """
        const ticket = await ticketFor(token, "/chat", `http://${host}`);
        const chat = socket(`/chat?ticket=${ticket}`, [], host);
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
