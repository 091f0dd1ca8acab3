"""The follower: what it makes of a real HTTP server's answers, proper and improper."""

import base64
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.guard.authority import Authority, Handler

from watchword import Guard, Issuer, Key, Position
from watchword.guard import follower as module
from watchword.guard.follower import Follower
from watchword.transport import Address, Connection, Credentials

LONG = 30.0  # seconds after which a test gives up


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


@pytest.fixture
def authority(keys: Mapping[str, Key]) -> Iterator[Authority]:
    """A running authority."""
    running = Authority(keys["Ed25519"])
    yield running
    running.close()


@pytest.fixture
def follow(authority: Authority) -> Iterator[Callable[..., Follower]]:
    """Makes followers, and stops them at the end."""
    made: list[Follower] = []

    def make(*urls: str, start: bool = True, **settings: Any) -> Follower:
        settings.setdefault("max_staleness", timedelta(seconds=30))
        made.append(Follower(authority.url, [Address.parse(url) for url in urls or [authority.url]], **settings))
        if start:
            made[-1].start()
        return made[-1]

    yield make
    for follower in made:
        follower.stop()
    assert not running()


def running() -> bool:
    """Whether any follower's thread is alive."""
    return any(thread.name == "watchword-follower" for thread in threading.enumerate())


def number(follower: Follower) -> int | None:
    """How far it has come."""
    known = follower.known
    return known and known.knowledge.number


class TestFollowing:
    """With an authority that behaves."""

    def test_snapshot_then_news(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """A snapshot first; then news as they happen, each confirmed by the next request's cursor."""
        authority.cut_off("user", "ada", "user_disabled")
        follower = follow()
        assert follower.wait(LONG)
        assert number(follower) == 1
        authority.cut_off("user", "bob", "user_disabled")
        until(lambda: number(follower) == 2)
        until(lambda: authority.asked[-1].get("after") == "e1.2")
        first, *later = authority.asked
        assert ("after" in first, first["hold"], first["stale"], first["path"]) == (False, "0", "30", "/revocations")
        assert {query["hold"] for query in later} == {"7.5"}
        assert len({query["nonce"] for query in authority.asked}) == len(authority.asked)
        assert follower.last_error is None
        assert authority.connections == 1

    def test_name(self, authority: Authority, follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch) -> None:
        """Each follower has a name of its own, in which the host and the process can be read; it keeps it."""
        monkeypatch.setattr(socket, "gethostname", lambda: "web 1.shop_é" + "x" * 100)
        for follower in (follow(), follow()):
            assert follower.wait(LONG)
        until(lambda: len(authority.asked) == 4)
        names = {query["guard"] for query in authority.asked}
        assert len(names) == 2
        for name in names:
            assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name)
            assert name.startswith(f"web-1.shop_-xxx{'x' * 25}-{os.getpid()}-")

    def test_many_pages(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """What comes in many pages is fetched without a hold, and not shown before it is whole."""
        authority.page_size = 10
        for index in range(95):
            authority.cut_off("user", f"u{index}", "user_disabled")
        shown: list[int | None] = []
        follower = follow(start=False)

        def note_and_answer(handler: Handler, page: bytes) -> None:
            shown.append(number(follower))
            handler.answer(page)

        authority.misbehave = note_and_answer
        follower.start()
        until(lambda: number(follower) == 95)
        assert shown[:10] == [None] * 10
        assert {query["hold"] for query in authority.asked[:10]} == {"0"}
        known = follower.known
        assert known is not None
        assert len(known.knowledge.cutoffs) == 95

    def test_much_news_at_once(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """Cutoffs count as soon as their page is there; what is known grows no younger before the last page."""
        authority.page_size = 10
        follower = follow()
        until(lambda: number(follower) == 0)
        shown: list[tuple[int | None, float]] = []

        def note_and_answer(handler: Handler, page: bytes) -> None:
            known = follower.known
            assert known is not None
            shown.append((number(follower), known.as_of))
            handler.answer(page)

        authority.misbehave = note_and_answer
        with authority.moved:
            for index in range(25):
                authority.cut_off("user", f"u{index}", "user_disabled")
        until(lambda: number(follower) == 25)
        (_, before), *_ = shown
        assert shown[:3] == [(0, before), (10, before), (20, before)]
        known = follower.known
        assert known is not None
        assert known.as_of > before

    def test_dated_by_the_request(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """However late an answer comes, it is as old as its request."""
        now = [100.0]
        arrived, release = threading.Event(), threading.Semaphore(0)

        def delayed(handler: Handler, page: bytes) -> None:
            arrived.set()
            assert release.acquire(timeout=LONG)
            handler.answer(page)

        authority.misbehave = delayed
        follower = follow(clock=lambda: now[0])
        assert arrived.wait(LONG)
        now[0] = 150.0
        release.release()
        assert follower.wait(LONG)
        known = follower.known
        assert known is not None
        assert known.as_of == 100.0
        authority.misbehave = None
        release.release()
        until(lambda: (known := follower.known) is not None and known.as_of == 150.0)

    def test_short_staleness(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """An empty page after a hold renews the date; the hold is a quarter of the staleness."""
        follower = follow(max_staleness=timedelta(seconds=0.4))
        assert follower.wait(LONG)
        first = follower.known
        assert first is not None
        until(lambda: (known := follower.known) is not None and known.as_of > first.as_of + 0.2)
        assert {query["hold"] for query in authority.asked} == {"0", "0.1"}

    def test_new_epoch(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """After a recovery the old cursor brings a snapshot of the new epoch, which is taken."""
        authority.cut_off("user", "ada", "user_disabled")
        follower = follow()
        assert follower.wait(LONG)
        with authority.moved:
            authority.epoch, authority.entries = "e2", []
            authority.moved.notify_all()
        for name in ("bob", "eve"):  # one more than before, or whoever waits for another number waits on
            authority.cut_off("user", name, "user_disabled")
        until(lambda: (known := follower.known) is not None and known.knowledge.epoch == "e2")

    def test_credentials(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """Both parts are form-encoded before they are joined (RFC 6749 section 2.3.1), and shown nowhere."""
        credentials = Credentials("orders service", "s:e/c+ret ö")
        follower = follow(credentials=lambda: credentials)
        assert follower.wait(LONG)
        scheme, _, coded = (authority.credentials[0] or "").partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(coded) == b"orders+service:s%3Ae%2Fc%2Bret+%C3%B6"
        assert "ret" not in repr(credentials)

    def test_credentials_of_the_environment(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A guard finds its credentials in the environment, the secret in a file if need be."""
        file = tmp_path / "secret"
        file.write_text("hush\n")
        monkeypatch.setenv("WATCHWORD_CLIENT_ID", "orders")
        guard = Guard(authority.url, audience="orders")
        guard.start()
        until(lambda: "together" in (guard.status().last_error or ""))
        monkeypatch.setenv("WATCHWORD_CLIENT_SECRET_FILE", str(file))
        until(lambda: guard.status().fresh)
        guard.stop()
        assert guard.status().feed is None
        assert authority.credentials[0] == "Basic " + base64.b64encode(b"orders:hush").decode()

    def test_an_outage_is_one_line(self, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
        """Why the feed cannot be followed is a WARNING, once; that it can be again is INFO."""
        caplog.set_level(logging.INFO, "watchword.guard")
        authority.misbehave = lambda handler, _: handler.answer(b'{"code":"invalid_client"}', 401)
        guard = Guard(authority.url, audience="orders")
        guard.start()
        until(lambda: authority.connections + len(authority.asked) >= 3)
        authority.misbehave = None
        until(lambda: guard.status().fresh)
        until(lambda: len(caplog.records) == 2)
        guard.stop()
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]
        assert "401 invalid_client" in caplog.messages[0]


def lying(**members: Any) -> Callable[[Authority], None]:
    """Pages with lies in them."""
    return lambda authority: authority.change.update(members)


def doing(act: Callable[[Handler, bytes], None]) -> Callable[[Authority], None]:
    """Answers that are improper."""

    def prepare(authority: Authority) -> None:
        authority.misbehave = act

    return prepare


IMPROPER: dict[str, tuple[Callable[[Authority], None], str]] = {
    "wrong nonce": (doing(lambda h, page: h.answer(page, nonce="another")), "another request"),
    "no nonce": (
        doing(lambda h, _: h.break_off(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
        "another request",
    ),
    "500": (doing(lambda h, _: h.answer(b"oops", 500)), "answered 500"),
    "503": (doing(lambda h, _: h.answer(b'{"code":"history_lost"}', 503)), "answered 503 history_lost"),
    "401": (doing(lambda h, _: h.answer(b'{"code":"invalid_client"}', 401)), "answered 401 invalid_client"),
    "400": (doing(lambda h, _: h.answer(b'{"code":"a b<script>"}', 400)), "answered 400"),
    "404": (doing(lambda h, _: h.answer(b"[" * 5000, 404)), "answered 404"),
    "redirect": (doing(lambda h, _: h.answer(b"", 307, Location=h.path)), "answered 307"),
    "204": (doing(lambda h, _: h.answer(b"", 204)), "answered 204"),
    "not JSON": (doing(lambda h, _: h.answer(b"<html>")), "not a page"),
    "empty": (doing(lambda h, _: h.answer(b"")), "not a page"),
    "too long": (doing(lambda h, page: h.answer(page + b" " * 20_000)), "over 20000 bytes"),
    "too long, unannounced": (
        doing(lambda h, _: h.break_off(b"HTTP/1.0 200 OK\r\nWatchword-Nonce: x\r\n\r\n" + b" " * 30_000)),
        "over 20000 bytes",
    ),
    "broken off": (
        doing(lambda h, _: h.break_off(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")),
        "broke off",
    ),
    "no HTTP": (doing(lambda h, _: h.break_off(b"SSH-2.0-x\r\n")), "HTTP answer"),
    "nothing": (doing(lambda h, _: h.break_off(b"")), "HTTP answer"),
    "another issuer": (lying(issuer="https://elsewhere.example"), "another issuer"),
    "beyond its head": (lying(number=7, head=5), "beyond its own head"),
    "no keys": (lying(keys=None), "without keys"),
    "continues nothing": (lying(after=5), "elsewhere"),
    "unknown scope": (
        lying(number=1, head=1, entries=[{"number": 1, "scope": "planet", "id": "x", "reason": "r"}]),
        "not known here",
    ),
}


@pytest.mark.parametrize("case", IMPROPER)
def test_improper(case: str, authority: Authority, follow: Callable[..., Follower]) -> None:
    """An improper answer dates nothing and changes nothing; after it, a proper one is taken."""
    prepare, complaint = IMPROPER[case]
    prepare(authority)
    follower = follow(max_bytes=20_000)
    until(lambda: complaint in (follower.last_error or ""))
    assert follower.known is None
    authority.misbehave = None
    authority.change.clear()
    follower.wake()
    assert follower.wait(LONG)
    until(lambda: follower.last_error is None)


@pytest.mark.parametrize("case", ["wrong nonce", "500", "another issuer", "continues nothing", "broken off"])
def test_improper_later(case: str, authority: Authority, follow: Callable[..., Follower]) -> None:
    """What is known stays, and keeps its date, while answers are improper; then it goes on without a gap."""
    authority.cut_off("user", "ada", "user_disabled")
    follower = follow(max_bytes=20_000)
    until(lambda: len(authority.asked) > 1)
    IMPROPER[case][0](authority)
    before = follower.known
    authority.cut_off("user", "bob", "user_disabled")
    until(lambda: IMPROPER[case][1] in (follower.last_error or ""))
    assert follower.known is before
    authority.misbehave = None
    authority.change.clear()
    until(lambda: number(follower) == 2)
    known = follower.known
    assert known is not None
    assert len(known.knowledge.cutoffs) == 2


def test_a_gap(authority: Authority, follow: Callable[..., Follower]) -> None:
    """A page with a hole is not taken; the follower asks for a snapshot, which has everything."""
    follower = follow()
    until(lambda: len(authority.asked) > 1)
    authority.change["entries"] = []
    authority.cut_off("user", "ada", "user_disabled")
    until(lambda: "gap" in (follower.last_error or ""))
    asked = len(authority.asked)
    authority.change.clear()
    until(lambda: number(follower) == 1)
    assert any("after" not in query for query in authority.asked[asked - 1 :])


def test_lost_history_keeps_its_cursor(authority: Authority, follow: Callable[..., Follower]) -> None:
    """A closed feed is asked again with the same cursor: to drop it would hide what was lost."""
    follower = follow()
    until(lambda: len(authority.asked) > 1)
    asked = len(authority.asked)
    IMPROPER["503"][0](authority)
    authority.cut_off("user", "ada", "user_disabled")
    until(lambda: len(authority.asked) > asked + 2)
    assert all(query.get("after") == "e1.0" for query in authority.asked[1:])
    assert number(follower) == 0


def test_behind(authority: Authority, follow: Callable[..., Follower]) -> None:
    """An authority that is behind what is known dates nothing."""
    for name in ("ada", "bob"):
        authority.cut_off("user", name, "user_disabled")
    follower = follow()
    until(lambda: len(authority.asked) > 1)
    before = follower.known
    with authority.moved:
        authority.entries.pop()
        authority.moved.notify_all()
    until(lambda: "behind" in (follower.last_error or "") or "elsewhere" in (follower.last_error or ""))
    until(lambda: len(authority.asked) > 4)
    assert follower.known is before


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"])
def test_trickle(
    authority: Authority, follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """An answer that comes byte by byte is given up in time, in its head and in its body."""
    monkeypatch.setattr("watchword.guard.learner._MIN_SNAPSHOT", 0.3)

    def drip(handler: Handler, page: bytes) -> None:
        handler.connection.sendall(start)
        handler.drip(b"H" if not start else b"a")

    authority.misbehave = drip
    follower = follow(max_staleness=timedelta(seconds=1))
    until(lambda: follower.last_error == "no whole answer in time")
    authority.misbehave = None
    assert follower.wait(LONG)


def test_nobody_there(authority: Authority, follow: Callable[..., Follower]) -> None:
    """A refused connection is tried again, with pauses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        follower = follow(f"http://127.0.0.1:{unused.getsockname()[1]}")
        until(lambda: follower.last_error is not None)
        assert follower.last_error == "Connection refused"


def test_no_tight_loop(authority: Authority, follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that answers without holding is not asked as fast as it answers."""
    monkeypatch.setattr(authority, "page", lambda after, _: Authority.page(authority, after, 0))
    follower = follow()
    assert follower.wait(LONG)
    asked = len(authority.asked)
    began = time.monotonic()
    until(lambda: len(authority.asked) >= asked + 4)
    assert time.monotonic() - began > 0.2


class TestReplicas:
    """Several replicas on one log, of which one is followed."""

    @pytest.fixture
    def replicas(self, authority: Authority) -> Iterator[list[Authority]]:
        """Two, the first of which is followed first."""
        other = Authority(authority.key, beside=authority)
        yield [authority, other]
        other.close()

    @pytest.fixture
    def first(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Chance has it that the first is the first; among how many it had to choose."""
        among: list[int] = []

        def choose(many: int) -> int:
            among.append(many)
            return 0

        monkeypatch.setattr("random.randrange", choose)
        return among

    def test_stays(self, replicas: list[Authority], follow: Callable[..., Follower], first: list[int]) -> None:
        """It begins with any of them, and stays as long as that one answers."""
        follower = follow(*(replica.url for replica in replicas))
        for index in range(5):
            replicas[1].cut_off("user", f"u{index}", "user_disabled")
            until(lambda: number(follower) == index + 1)  # noqa: B023
        assert first == [2]
        assert follower.followed == replicas[0].url
        assert replicas[0].connections == 1
        assert replicas[1].connections == 0

    @pytest.mark.parametrize("case", ["wrong nonce", "500", "503", "401", "broken off", "nothing"])
    def test_goes_on(
        self, case: str, replicas: list[Authority], follow: Callable[..., Follower], first: list[int]
    ) -> None:
        """Whatever goes wrong, the next is asked from the same place, without a pause; nothing is lost."""
        follower = follow(*(replica.url for replica in replicas))
        until(lambda: len(replicas[0].asked) > 1)
        IMPROPER[case][0](replicas[0])
        replicas[0].cut_off("user", "ada", "user_disabled")
        until(lambda: number(follower) == 1)
        assert replicas[1].asked[0]["after"] == "e1.0"
        until(lambda: len(replicas[1].asked) > 1)
        until(lambda: follower.last_error is None)
        assert replicas[0].connections == 1
        assert follower.followed == replicas[1].url

    def test_one_that_is_behind(
        self, replicas: list[Authority], follow: Callable[..., Follower], first: list[int]
    ) -> None:
        """A replica whose pages lag is left, and the place in the log is kept."""
        replicas[0].cut_off("user", "ada", "user_disabled")
        follower = follow(*(replica.url for replica in replicas))
        until(lambda: len(replicas[0].asked) > 1)
        replicas[0].change.update(number=0, head=0, entries=[])
        replicas[0].cut_off("user", "bob", "user_disabled")
        until(lambda: number(follower) == 2)
        assert replicas[1].asked[0]["after"] == "e1.1"

    def test_all_of_them(self, replicas: list[Authority], follow: Callable[..., Follower], first: list[int]) -> None:
        """Where all fail it goes round and round, until one of them answers."""
        for replica in replicas:
            IMPROPER["500"][0](replica)
        follower = follow(*(replica.url for replica in replicas))
        until(lambda: min(len(replica.asked) for replica in replicas) > 2)
        replicas[1].misbehave = None
        assert follower.wait(LONG)

    def test_rounds(
        self, replicas: list[Authority], follow: Callable[..., Follower], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pause comes after each whole round, and is the longer the more rounds have failed."""
        happened: list[object] = []

        def asked(handler: Handler, _: bytes) -> None:
            happened.append("asked")
            handler.answer(b"", 500)

        def pause(run: Any, rounds: int) -> None:
            happened.append(rounds)
            run.stopping.wait(0.001)

        monkeypatch.setattr(module._Run, "pause", pause)
        for replica in replicas:
            replica.misbehave = asked
        follow(*(replica.url for replica in replicas))
        until(lambda: len(happened) >= 9)
        assert happened[:9] == ["asked", "asked", 1, "asked", "asked", 2, "asked", "asked", 3]

    def test_a_black_hole(
        self,
        authority: Authority,
        follow: Callable[..., Follower],
        first: list[int],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """One that takes a connection and is silent is given up in time."""
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(5)
            port = silent.getsockname()[1]
            follower = follow(f"http://127.0.0.1:{port}", authority.url, max_staleness=timedelta(seconds=1))
            assert follower.wait(LONG)
        assert "no whole answer in time" in caplog.text

    def test_fork(self) -> None:
        """A child lets go of every connection that its parent may have."""
        connections = [Connection(Address.parse("http://127.0.0.1:1"), max_bytes=1) for _ in range(2)]
        ends = [socket.socketpair() for _ in connections]
        for connection, (ours, _) in zip(connections, ends, strict=True):
            connection._socket = ours
        module._Run(connections).abandon()
        for connection, (ours, theirs) in zip(connections, ends, strict=True):
            assert connection._socket is None
            assert ours.fileno() == -1
            theirs.close()


class TestPause:
    """The waits between attempts, without waiting for them."""

    def test_growing_and_jittered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From a tenth of a second to five, each by chance between half and whole."""
        waited: list[float] = []
        run = module._Run([None])  # type: ignore[list-item]
        monkeypatch.setattr(run.stopping, "wait", lambda seconds: waited.append(seconds))
        monkeypatch.setattr(run.nudged, "wait", lambda seconds: waited.append(seconds))
        totals = []
        for failures in (1, 2, 3, 6, 7, 8, 5000):
            waited.clear()
            run.pause(failures)
            totals.append(sum(waited))
            assert waited[0] <= 0.1
        for total, whole in zip(totals, (0.1, 0.2, 0.4, 3.2, 5, 5, 5), strict=True):
            assert whole / 2 <= total <= whole + 0.001

    def test_a_nudge_ends_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """But only after its first part."""
        run = module._Run([None])  # type: ignore[list-item]
        fired: list[int] = []
        nudger = threading.Timer(0.2, lambda: (fired.append(1), run.nudged.set()))  # type: ignore[func-returns-value]
        nudger.start()
        run.nudged.set()  # from before the failure: it does not count
        waits: list[bool] = []
        wait = run.nudged.wait
        monkeypatch.setattr(run.nudged, "wait", lambda seconds: waits.append(wait(seconds * 100)))
        began = time.monotonic()
        run.pause(5000)
        assert (waits, fired) == ([True], [1])
        assert time.monotonic() - began > 0.09
        nudger.join()


class TestLife:
    """Start, stop, fork."""

    def test_no_io_before_start(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """Nothing happens at construction."""
        follow(start=False)
        Guard(authority.url, audience="orders")
        assert authority.connections == 0

    def test_news_for_nobody(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """One that is not following sleeps on."""
        follower = follow(start=False)
        follower.wake()
        assert not follower.wait(0)
        assert authority.connections == 0

    def test_stop_while_held(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """It ends at once although the authority holds its request, twice over, and can be started again."""
        follower = follow(max_staleness=timedelta(hours=1))
        for _ in range(2):
            asked = len(authority.asked)
            follower.start()
            follower.start()
            until(lambda: any(query["hold"] == "10" for query in authority.asked[asked:]))  # noqa: B023
            run = follower._run
            follower.stop()
            assert run is not None
            assert run.ended.is_set()  # the authority would have held the request for twice as long as stop waits
            follower.stop()
        authority.cut_off("user", "ada", "user_disabled")
        follower.start()
        until(lambda: number(follower) == 1)

    def test_one_thread_at_a_time(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """A new life begins once the one before is over, however long that hangs, and may itself be stopped before."""
        follower = follow(start=False)
        hanging = follower._last = module._Run([Connection(Address.parse(authority.url), max_bytes=1)])
        follower.start()
        run = follower._run
        assert run is not None
        assert not follower.wait(0.02)
        assert authority.connections == 0
        run.stop()
        hanging.ended.set()
        assert run.ended.wait(LONG)
        assert authority.connections == 0

    def test_stop_during_a_pause(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """It ends at once between attempts, too."""
        IMPROPER["500"][0](authority)
        follower = follow()
        until(lambda: len(authority.asked) > 4)
        run = follower._run
        follower.stop()
        assert run is not None
        assert run.ended.is_set()

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_fork(self, authority: Authority, follow: Callable[..., Follower]) -> None:
        """A forked child follows on its own connection, and leaves its parent's alone, held locks and all."""
        follower = follow()
        until(lambda: len(authority.asked) > 1)
        parents = follower._run
        assert parents is not None
        follower._lock.acquire()  # as some thread of the parent may
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            try:
                follower.start()
                deadline = time.monotonic() + LONG
                while number(follower) != 1 and time.monotonic() < deadline:
                    time.sleep(0.002)
                let_go = parents.connection._socket is None
                os._exit(0 if number(follower) == 1 and follower.wait(0) and let_go else 1)
            finally:
                os._exit(2)
        follower._lock.release()
        until(lambda: authority.connections == 2)
        authority.cut_off("user", "ada", "user_disabled")
        until(lambda: number(follower) == 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        names = {query["guard"] for query in authority.asked}
        assert {f"-{process}-" in name for name in names for process in (os.getpid(), child)} == {True, False}
        assert len(names) == 2
        assert follower.last_error is None
        assert authority.connections == 2

    def test_fork_before_anything_is_known(self, follow: Callable[..., Follower]) -> None:
        """A child of a parent that never followed starts with nothing, and starts nothing."""
        follower = follow(start=False)
        follower._forked()
        assert not follower.wait(0)
        assert not running()

    async def test_guard(self, authority: Authority) -> None:
        """A guard on a feed: ready when its lifespan begins, and a revocation reaches it while it waits."""
        guard = Guard(authority.url, audience="orders")
        token = Issuer(authority.url, authority.key).mint(
            subject="ada", audience="orders", client="web", position=Position("e1", 0)
        )
        async with guard.lifespan():
            assert guard.status().feed == authority.url
            assert guard.verify(token).subject == "ada"
            authority.cut_off("user", "ada", "credentials_changed")
            until(lambda: guard.status().position == 1)
            with pytest.raises(Exception, match="credentials_changed"):
                guard.verify(token)

    async def test_guard_without_an_authority(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        """A service whose authority is down starts after a while, closed."""
        monkeypatch.setattr("watchword.guard.guard.START_TIME", 0.05)
        IMPROPER["500"][0](authority)
        guard = Guard(authority.url, audience="orders")
        async with guard.lifespan():
            with pytest.raises(Exception, match="guard_not_ready"):
                guard.verify("a.b.c")


class TestTls:
    """Over https."""

    @pytest.fixture
    def trusted(self, authority: Authority, tmp_path: Path) -> Path:
        """The authority speaks TLS from now on; the file that makes a client trust it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem, chain = Encoding.PEM, tmp_path / "chain.pem"
        chain.write_bytes(certificate.public_bytes(pem))
        secret = tmp_path / "key.pem"
        secret.write_bytes(key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, secret)
        listening = authority.server.socket
        authority.server.socket = context.wrap_socket(listening, server_side=True)
        authority.url = authority.issuer = authority.url.replace("http:", "https:")
        return chain

    def test_strangers(self, authority: Authority, follow: Callable[..., Follower], trusted: Path) -> None:
        """Whom the machine does not trust is not listened to."""
        follower = follow()
        until(lambda: "TLS failed: CERTIFICATE_VERIFY_FAILED" in (follower.last_error or ""))
        assert not authority.asked

    def test_trusted(
        self,
        authority: Authority,
        follow: Callable[..., Follower],
        trusted: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Whom it trusts is followed, and stop ends a held request there too."""
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        follower = follow()
        assert follower.wait(LONG)
        authority.cut_off("user", "ada", "user_disabled")
        until(lambda: number(follower) == 1)
        until(lambda: authority.asked[-1].get("after") == "e1.1")
        run = follower._run
        follower.stop()
        assert run is not None
        assert run.ended.is_set()

    def test_another_name(
        self, authority: Authority, follow: Callable[..., Follower], trusted: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A certificate for another name is refused."""
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        follower = follow(authority.url.replace("127.0.0.1", "localhost"))
        until(lambda: "CERTIFICATE_VERIFY_FAILED" in (follower.last_error or ""))
