"""The fetcher: what it makes of real HTTP servers that are slow, lie, redirect, send too much, hang up or flap."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.guard.authority import Authority
from tests.guard.stranger import JWKS, OAUTH, OPENID, Handler, Stranger
from tests.guard.test_follower import until

from watchword import Guard, Issuer, Key, OtherIssuer, Position, Refused, errors
from watchword.guard import key_fetcher as module
from watchword.guard.foreign_keys import ForeignKeys, Pace
from watchword.guard.key_fetcher import KeyFetcher, KeySource
from watchword.transport import Address, Connection

QUICK = Pace(early=0.0, first=0.01, longest=0.01)


class Following:
    """One stranger's keys, followed by a clock that the test moves."""

    def __init__(self, issuer: str, *, pace: Pace = QUICK, **settings: Any) -> None:
        self.now = 1000.0
        self.other = OtherIssuer(issuer, audience="orders", **settings)
        self.keys = ForeignKeys(self.other, clock=lambda: self.now, pace=pace)
        self.source = KeySource(self.other, self.keys)
        self.fetcher = KeyFetcher([self.source])

    @property
    def names(self) -> list[str]:
        """The keys that are known."""
        known = self.keys.known
        return [] if known is None else [key.kid for key in known.keys]

    def let_pass(self, seconds: float) -> None:
        """Move the clock, and have it looked at."""
        self.now += seconds
        self.fetcher.wake()

    def fetched(self) -> None:
        """Wait for the end of a fetch at this moment of the clock."""
        until(lambda: self.keys._ended == self.now)

    def show_unknown(self) -> None:
        """As a token under an unknown key does."""
        if self.keys.want():
            self.fetcher.wake()

    def error(self) -> str:
        """The error of the next attempt that fails."""
        until(lambda: self.keys.last_error is not None)
        return str(self.keys.last_error)


@pytest.fixture
def stranger(keys: Mapping[str, Key]) -> Iterator[Stranger]:
    """A stranger at an issuer with a path."""
    running = Stranger(keys["ES256"], path="/realm")
    yield running
    running.close()


@pytest.fixture
def follow(stranger: Stranger) -> Iterator[Callable[..., Following]]:
    """Follows a stranger's keys, until the end of the test."""
    made: list[Following] = []

    def make(issuer: str | None = None, *, start: bool = True, **settings: Any) -> Following:
        made.append(Following(issuer or stranger.issuer, **settings))
        if start:
            made[-1].fetcher.start()
        return made[-1]

    yield make
    for following in made:
        following.fetcher.stop()
    assert not running()


def running() -> bool:
    """Whether any fetcher's thread is alive."""
    return any(thread.name == "watchword-keys" for thread in threading.enumerate())


class TestFollowing:
    """With a stranger that behaves."""

    def test_by_openid(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Its metadata stand below the issuer's path, and name the keys."""
        following = follow()
        assert following.fetcher.wait(30)
        assert following.names == ["test-ES256"]
        assert stranger.asked == {"/realm" + OPENID: 1, JWKS: 1}
        assert stranger.agents == {"watchword"}
        assert following.keys.last_error is None

    def test_by_rfc_8414(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Where there are none they stand before the path."""
        stranger.missing.add("/realm" + OPENID)
        following = follow()
        assert following.fetcher.wait(30)
        assert following.names == ["test-ES256"]
        assert stranger.asked == {"/realm" + OPENID: 1, OAUTH + "/realm": 1, JWKS: 1}

    def test_a_slash_at_the_end(self, keys: Mapping[str, Key], follow: Callable[..., Following]) -> None:
        """It belongs to the issuer's name and not to the metadata's address."""
        stranger = Stranger(keys["ES256"])
        stranger.issuer += "/"
        following = follow(stranger.issuer)
        assert following.fetcher.wait(30)
        stranger.close()
        assert following.names == ["test-ES256"]
        assert set(stranger.asked) == {OPENID, JWKS}

    def test_by_url(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Where the user names the keys, nothing else is asked, and they may be anywhere."""
        following = follow("https://elsewhere.example", jwks=f"{stranger.origin}{JWKS}?tenant=5")
        assert following.fetcher.wait(30)
        assert following.names == ["test-ES256"]
        assert stranger.asked == {f"{JWKS}?tenant=5": 1}

    def test_rotation(self, stranger: Stranger, keys: Mapping[str, Key], follow: Callable[..., Following]) -> None:
        """A new key is there at the refresh, or as soon as a token under it is shown; metadata are not asked then."""
        following = follow()
        assert following.fetcher.wait(30)
        stranger.keys = [keys["ES256"], keys["Ed25519"]]
        following.let_pass(300)
        until(lambda: following.names == ["test-ES256", "test-Ed25519"])
        asked = stranger.asked["/realm" + OPENID]
        stranger.keys = [keys["RS256"]]
        following.show_unknown()
        until(lambda: following.names == ["test-RS256"])
        assert stranger.asked["/realm" + OPENID] == asked == 2

    def test_the_keys_move(self, stranger: Stranger, keys: Mapping[str, Key], follow: Callable[..., Following]) -> None:
        """Metadata are read at each refresh, so that keys can be published elsewhere on the host."""
        following = follow()
        assert following.fetcher.wait(30)
        stranger.metadata["jwks_uri"] = f"{stranger.origin}{JWKS}?new"
        stranger.missing.add(JWKS)
        following.let_pass(300)
        until(lambda: stranger.asked[f"{JWKS}?new"] == 1)

    def test_the_keys_move_between(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """And as soon as the keys are not where they were."""
        following = follow()
        assert following.fetcher.wait(30)
        stranger.metadata["jwks_uri"] = f"{stranger.origin}{JWKS}?new"
        stranger.missing.add(JWKS)
        following.show_unknown()
        assert following.error() == "answered 404"
        following.let_pass(1)
        until(lambda: following.keys.last_error is None)
        assert stranger.asked[f"{JWKS}?new"] == 1

    def test_they_move_in_a_flood(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Strangers who bring fetches forward all the time cannot keep us from reading the metadata again."""
        following = follow(pace=Pace(early=15.0))
        assert following.fetcher.wait(30)
        for number in range(2, 20):
            following.show_unknown()
            following.let_pass(16)
            following.fetched()
            assert stranger.fetches == number
        assert stranger.asked["/realm" + OPENID] == 2

    def test_a_mistake_of_ours(
        self, stranger: Stranger, follow: Callable[..., Following], caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is told with its trace, and the thread goes on."""
        following = follow(start=False)
        learn, following.keys.learn = following.keys.learn, lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
        following.fetcher.start()
        assert following.error() == "division by zero"
        until(lambda: "ZeroDivisionError" in caplog.text)
        following.keys.learn = learn  # type: ignore[method-assign]
        following.let_pass(300)
        until(lambda: following.names == ["test-ES256"])

    def test_an_outage(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """What is known stays; and when the stranger is back it is asked again."""
        following = follow()
        assert following.fetcher.wait(30)
        stranger.missing |= {"/realm" + OPENID, OAUTH + "/realm"}
        following.let_pass(300)
        assert following.error() == "answered 404"
        assert following.names == ["test-ES256"]
        stranger.missing.clear()
        following.let_pass(300)
        until(lambda: following.keys.last_error is None)

    def test_single_flight(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """However many ask, one question is under way."""
        following = follow()
        for _ in range(50):
            threads = [threading.Thread(target=following.show_unknown) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        until(lambda: stranger.fetches > 1)
        assert stranger.most_at_once == 1

    def test_a_flood(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Ten thousand unknown keys within a moment bring one fetch, counted at the stranger."""
        following = follow(pace=Pace())
        assert following.fetcher.wait(30)
        before = stranger.fetches
        following.let_pass(20)
        for _ in range(10_000):
            following.show_unknown()
        following.fetched()
        assert stranger.fetches == before + 1
        for _ in range(10_000):
            following.show_unknown()
        following.let_pass(14)
        following.fetcher.stop()
        assert stranger.fetches == before + 1
        following.fetcher.start()
        following.let_pass(2)
        following.fetched()
        assert stranger.fetches == before + 2


class TestMisbehaviour:
    """With a stranger that does not: nothing that it does is believed, or takes longer than it may."""

    @pytest.fixture
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """From then on a fetch takes half a second at most."""
        return lambda: monkeypatch.setattr(module, "MAX_FETCH", 0.5)

    @pytest.mark.parametrize(
        ("misbehave", "told"),
        [
            (lambda handler, _: handler.answer(b"", 302, Location=handler.stranger.origin + JWKS), "answered 302"),
            (lambda handler, _: handler.answer(b"", 500), "answered 500"),
            (lambda handler, body: handler.answer(body, 203), "answered 203"),
            (lambda handler, _: handler.answer(b"<html>sign in</html>"), "no JWK Set"),
            (lambda handler, _: handler.answer(b" " * (module.MAX_BYTES + 1)), "over"),
            (lambda handler, _: handler.drip(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000), "in time"),
            (lambda handler, _: handler.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"), "in time"),
            (lambda handler, _: handler.half_close(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), "broke off"),
            (lambda handler, _: handler.half_close(b""), "no proper HTTP answer"),
            (lambda handler, _: handler.half_close(b"SSH-2.0-OpenSSH\r\n"), "no proper HTTP answer"),
            (lambda handler, _: handler.half_close(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200), "no proper HTTP"),
        ],
    )
    def test_bad_answers(
        self,
        stranger: Stranger,
        follow: Callable[..., Following],
        misbehave: Callable[[Handler, bytes], None],
        told: str,
        impatient: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """For the keys or for the metadata: the error is told, and what was known stays."""
        for path in (JWKS, "/realm" + OPENID):
            stranger.misbehave.clear()
            following = follow()
            assert following.fetcher.wait(30)
            known = following.keys.known
            assert known is not None
            stranger.misbehave[path] = misbehave
            if told == "in time":
                impatient()
            following.let_pass(300)
            assert (told if path == JWKS else told.replace("JWK Set", "metadata")) in following.error()
            assert following.keys.known is known
            following.fetcher.stop()
            monkeypatch.undo()

    def test_no_redirect_is_followed(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Not even to itself."""
        stranger.misbehave[JWKS] = lambda handler, _: handler.answer(b"", 302, Location="/elsewhere")
        assert follow().error() == "answered 302"
        assert "/elsewhere" not in stranger.asked

    @pytest.mark.parametrize(
        ("metadata", "told"),
        [
            ({"issuer": "https://elsewhere.example"}, "another issuer's"),
            ({"issuer": None}, "another issuer's"),
            ({"jwks_uri": None}, "no jwks_uri"),
            ({"jwks_uri": ["x"]}, "no jwks_uri"),
            ({"jwks_uri": "https://elsewhere.example/keys"}, "another host"),
            ({"jwks_uri": "http://127.0.0.1:1/keys"}, "another host"),
            ({"jwks_uri": "http://elsewhere.example/keys"}, "no URL"),
            ({"jwks_uri": "file:///etc/passwd"}, "no URL"),
            ({"jwks_uri": "/keys"}, "no URL"),
            ({"jwks_uri": "http://a:b@127.0.0.1/keys"}, "no URL"),
        ],
    )
    def test_lies(
        self, stranger: Stranger, follow: Callable[..., Following], metadata: dict[str, Any], told: str
    ) -> None:
        """Metadata of another issuer, or that lead to another host, lead nowhere."""
        stranger.metadata = metadata
        following = follow()
        assert told in following.error()
        assert following.keys.known is None
        assert stranger.fetches == 0

    def test_a_slash_is_another_issuer(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Names are compared character by character."""
        stranger.metadata["issuer"] = stranger.issuer + "/"
        assert "another issuer's" in follow().error()

    def test_flapping(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Good and bad answers in turn: it is asked on, and what is known stays."""
        turns: list[int] = []

        def flap(handler: Handler, body: bytes) -> None:
            turns.append(0)
            handler.answer(body, 200 if len(turns) % 2 else 503)

        stranger.misbehave[JWKS] = flap
        following = follow()
        assert following.fetcher.wait(30)

        def more() -> bool:
            following.let_pass(300)
            return len(turns) > 9

        until(more)
        assert following.names == ["test-ES256"]

    def test_no_tls(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Where https is said nothing else is spoken."""
        assert "TLS failed" in follow(stranger.issuer.replace("http:", "https:")).error()
        assert not stranger.asked

    def test_nobody_there(self, follow: Callable[..., Following]) -> None:
        """A stranger that is gone is told."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            assert "refused" in follow(f"http://127.0.0.1:{bound.getsockname()[1]}").error()

    def test_no_connection(self, full: int, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch) -> None:
        """A dead machine is given up before a whole answer would have to be there."""
        monkeypatch.setattr(module, "MAX_FETCH", 600.0)
        monkeypatch.setattr(module, "_CONNECT_TIME", 0.05)
        assert follow(f"http://127.0.0.1:{full}").error() == "no connection in time"

    def test_silent_ones_hold_nobody_up(self, stranger: Stranger, keys: Mapping[str, Key]) -> None:
        """Before, in between or behind: while they say nothing the keys of others come and are renewed."""
        let_go, silent = threading.Event(), [Stranger(keys["ES256"]) for _ in range(2)]

        def hold(handler: Handler, _: bytes) -> None:
            let_go.wait(30)
            handler.answer(b"", 500)

        for each in silent:
            each.misbehave[OPENID] = hold
        following = [Following(each.issuer) for each in (silent[0], stranger, silent[1])]
        fetcher = KeyFetcher([each.source for each in following])
        fetcher.start()
        until(lambda: following[1].names == ["test-ES256"] and all(each.asked for each in silent))
        following[1].now += 300
        fetcher.wake()
        following[1].fetched()
        assert stranger.fetches == 2
        assert not fetcher.wait(0)
        assert [each.keys.tried for each in following] == [False, True, False]
        let_go.set()
        assert fetcher.wait(30)
        fetcher.stop()
        assert not running()
        for each in silent:
            each.close()


class TestLife:
    """Start, stop, fork."""

    def test_stop_interrupts(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Whatever the stranger is doing; and it is no error."""
        stranger.misbehave["/realm" + OPENID] = lambda handler, _: handler.drip(b"HTTP/1.1 200 OK\r\nX: ")
        following = follow()
        until(lambda: bool(stranger.asked))
        following.fetcher.stop()
        assert not running()
        assert following.keys.last_error is None

    def test_stop_interrupts_a_handshake(
        self, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody waits for one who takes connections and then says nothing."""
        monkeypatch.setattr(module, "MAX_FETCH", 600.0)
        monkeypatch.setattr(module, "_CONNECT_TIME", 600.0)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            following = follow(f"https://127.0.0.1:{mute.getsockname()[1]}")
            accepted, _ = mute.accept()
            assert accepted.recv(1)
            following.fetcher.stop()
            accepted.close()
        assert not running()
        assert following.keys.last_error is None

    def test_again(self, stranger: Stranger, follow: Callable[..., Following]) -> None:
        """Twice is once, and it can be started after a stop."""
        following = follow()
        following.fetcher.start()
        assert following.fetcher.wait(30)
        following.fetcher.stop()
        following.fetcher.stop()
        following.fetcher.start()
        following.let_pass(300)
        until(lambda: stranger.fetches == 2)

    def test_one_thread_after_the_other(
        self, stranger: Stranger, follow: Callable[..., Following], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that does not end in time, as while a name is looked up, holds up the next: never do two ask."""
        monkeypatch.setattr(module, "_STOP_TIME", 0.0)
        reached, let_go, at_once = threading.Event(), threading.Event(), [0, 0]

        def looked_up(run: object, asked: float) -> bytes:
            at_once[0] += 1
            at_once[1] = max(at_once)
            reached.set()
            let_go.wait(30)
            at_once[0] -= 1
            return b'{"keys": []}'

        following = follow(start=False)
        monkeypatch.setattr(following.source, "_document", looked_up)
        following.fetcher.start()
        assert reached.wait(30)
        (first,) = following.fetcher._runs
        following.fetcher.stop()
        following.fetcher.start()
        (second,) = following.fetcher._runs
        assert not second.ended.wait(0.05)
        let_go.set()
        assert following.fetcher.wait(30)
        assert first.ended.is_set()
        assert at_once == [0, 1]

    def test_without_anybody(self) -> None:
        """Nothing runs where nobody is followed."""
        fetcher = KeyFetcher([])
        fetcher.start()
        assert fetcher.wait(0)
        assert not running()
        fetcher.stop()

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_fork(self, stranger: Stranger, keys: Mapping[str, Key], follow: Callable[..., Following]) -> None:
        """A child asks for itself, held locks and all, though its parent was in the middle of a question."""
        reached, let_go = threading.Event(), threading.Event()

        def hold(handler: Handler, body: bytes) -> None:
            reached.set()
            let_go.wait(30)
            handler.answer(body)

        stranger.misbehave[JWKS] = hold
        following = follow()
        assert reached.wait(30)
        following.fetcher._lock.acquire()
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            try:
                ready = following.fetcher.wait(30)
                os._exit(0 if ready and following.names == ["test-ES256"] else 1)
            finally:
                os._exit(2)
        following.fetcher._lock.release()
        until(lambda: stranger.fetches == 2)
        let_go.set()
        assert following.fetcher.wait(30)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert following.names == ["test-ES256"]
        assert following.keys.last_error is None

    def test_a_child_lets_go(self) -> None:
        """Of its parent's connection, without a word to the peer."""
        ours, theirs = socket.socketpair()
        connection = Connection(Address.parse("http://127.0.0.1:1"), max_bytes=1)
        connection._socket = ours
        run = module._Run()
        run.abandon()
        run._connection = connection
        run.abandon()
        assert ours.fileno() == -1
        theirs.close()

    def test_fork_before_the_start(self, follow: Callable[..., Following]) -> None:
        """A child of a parent that never asked starts nothing."""
        following = follow(start=False)
        following.fetcher._forked()
        assert not following.fetcher.wait(0)
        assert not running()


class TestGuard:
    """A whole guard between an authority and a stranger, over real sockets."""

    async def test_two_issuers(self, stranger: Stranger, keys: Mapping[str, Key]) -> None:
        """Both are known when its lifespan begins; a slow stranger delays no revocation."""
        authority = Authority(keys["Ed25519"])
        other = OtherIssuer(stranger.issuer, audience="orders", roles={"chief": ["editor"]})
        guard = Guard(authority.url, audience="orders", others=[other])
        ours = Issuer(authority.url, authority.key).mint(
            subject="ada", audience="orders", client="web", position=Position("e1", 0)
        )
        theirs = stranger.mints(keys["ES256"]).mint(subject="ada", audience="orders", client="web", roles=["chief"])
        try:
            async with guard.lifespan():
                assert guard.verify(ours).issuer == authority.url
                assert guard.verify(theirs).roles == {"editor"}
                (told,) = guard.status().others
                assert (told.fresh, told.keys, told.last_error) == (True, ["test-ES256"], None)
                stranger.misbehave["/realm" + OPENID] = lambda handler, _: handler.drip(b"HTTP/1.1 200 OK\r\nX: ")
                authority.cut_off("user", "ada", "credentials_changed")
                until(lambda: guard.status().position == 1)
                with pytest.raises(errors.CredentialsChanged):
                    guard.verify(ours)
                assert guard.verify(theirs).subject == "ada"
        finally:
            authority.close()
        assert not running()

    def test_unknown_keys(self, stranger: Stranger, keys: Mapping[str, Key]) -> None:
        """An unknown key is refused at once, and is known soon after if it is the issuer's."""
        other = OtherIssuer(stranger.issuer, audience="orders")
        guard = Guard(audience="orders", others=[other])
        good = stranger.mints(keys["ES256"]).mint(subject="ada", audience="orders", client="web")
        new = stranger.mints(keys["Ed25519"]).mint(subject="ada", audience="orders", client="web")
        with pytest.raises(errors.NotReady):
            guard.verify(good)
        until(lambda: guard.status().others[0].fresh)
        assert guard.verify(good).subject == "ada"
        with pytest.raises(errors.UnknownKey):
            guard.verify(new)
        guard.stop()
        assert stranger.fetches == 1

    def test_a_new_key(self, stranger: Stranger, keys: Mapping[str, Key], monkeypatch: pytest.MonkeyPatch) -> None:
        """The first token under it wakes the thread, which would sleep for long."""
        monkeypatch.setattr(module, "_LONGEST_SLEEP", 1000.0)
        now = 1000.0
        guard = Guard(audience="orders", others=[OtherIssuer(stranger.issuer, audience="orders")])
        (known,) = guard._others._keys
        known._clock = lambda: now
        guard.start()
        until(lambda: guard.status().others[0].fresh)
        stranger.keys = [keys["Ed25519"]]
        until(lambda: known._ended == now)
        now += 20
        token = stranger.mints(keys["Ed25519"]).mint(subject="ada", audience="orders", client="web")
        assert told(guard, token) == "unknown_key"
        until(lambda: told(guard, token) == "allowed")
        guard.stop()

    def test_old_keys(self, stranger: Stranger, keys: Mapping[str, Key]) -> None:
        """Keys that are too old verify nothing, and an unknown key is no verdict once its source cannot be asked."""
        now = 1000.0
        other = OtherIssuer(stranger.issuer, audience="orders", keep=timedelta(minutes=10))
        guard = Guard(audience="orders", others=[other])
        (known,) = guard._others._keys
        known._clock = lambda: now
        token = stranger.mints(keys["ES256"]).mint(subject="ada", audience="orders", client="web")
        unknown = stranger.mints(keys["Ed25519"]).mint(subject="ada", audience="orders", client="web")
        guard.start()
        until(lambda: guard.status().others[0].fresh)
        guard.stop()
        for age, codes in (
            (310, ("allowed", "unknown_key")),
            (311, ("allowed", "guard_stale")),
            (600, ("allowed", "guard_stale")),
            (601, ("guard_stale", "guard_stale")),
        ):
            now = 1000.0 + age
            for _ in range(2):
                assert tuple(told(guard, shown) for shown in (token, unknown)) == codes, age
            assert guard.status().others[0].fresh is (age < 601)


def told(guard: Guard, token: str) -> str:
    """The code of a refusal."""
    try:
        guard.verify(token)
    except Refused as refusal:
        return refusal.code
    return "allowed"
