"""The guard: the order of its checks, its age, its tables."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.guard.world import AUDIENCE, EPOCH, ISSUER, World

from watchword import Guard, Issuer, Key, KeySet, Position, Refused, Rule, anyone, errors, role, signed_in
from watchword.core.encoding import b64url_decode, b64url_encode
from watchword.guard.decisions import Decision
from watchword.guard.follower import Follower
from watchword.guard.guard import Status
from watchword.guard.source import Known

OLD = 31.0  # seconds, over the default max_staleness


def decide(guard: Guard, token: str | None, rule: Rule | None = signed_in) -> str:
    """The code of a decision."""
    fields = [] if token is None else [f"Bearer {token}".encode()]
    try:
        guard.decide(fields, rule, Decision("GET", "/orders"))
    except Refused as refusal:
        return refusal.code
    return "allowed"


def changed_header(token: str, **members: object) -> str:
    """The token under another header; its signature does not fit any more."""
    header, payload, signature = token.split(".")
    changed = json.loads(b64url_decode(header.encode())) | members
    return f"{b64url_encode(json.dumps(changed).encode())}.{payload}.{signature}"


@pytest.mark.parametrize("token", [None, 5, [], bytearray(b"a.b.c"), b"a.b.\xff", "a.b.\xe9"])
def test_no_text_at_all(world: World, token: Any) -> None:
    """Values of other types are no tokens, nor is text beyond ASCII."""
    for verify in (world.guard().verify, world.guard().data):
        with pytest.raises(errors.Malformed):
            verify(token)


def test_anyone(world: World) -> None:
    """Where anyone may, there is no caller, whatever was shown."""
    for fields in ([], [f"Bearer {world.token()}".encode()], [b"x", b"y"]):
        assert world.guard().decide(fields, anyone, Decision("GET", "/")) is None


def test_leeway_and_lifetime_are_settings(world: World) -> None:
    """How far clocks may differ, and how long a token may live, is for the service to say."""
    own = world.guard(leeway=timedelta(seconds=20), max_lifetime=timedelta(minutes=10))
    early, long = world.token(issued_at=world.wall_time + 15), world.token(lifetime=timedelta(minutes=11))
    assert (decide(own, early), decide(own, long)) == ("allowed", "lifetime_too_long")
    assert (decide(world.guard(), early), decide(world.guard(), long)) == ("token_not_yet_valid", "allowed")


class Paused:
    """The world as a source; this process is held up whenever it has read what is known."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seconds = 0.0

    @property
    def known(self) -> Known | None:
        """What the world knew a while ago."""
        before = self._world.known
        self._world.now += self.seconds
        return before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)


class TestOrder:
    """Each defect is laid over all that are checked later: the earlier one is the answer."""

    @pytest.fixture
    def stages(self, world: World, keys: Mapping[str, Key]) -> list[tuple[str, Callable[[], str | None]]]:
        """From the first check to the last: a code, and a request that has this defect and all later ones."""
        foreign = Issuer("https://elsewhere.example", world.key, clock=lambda: world.wall_time)
        forged = Issuer(ISSUER, keys["ES256"], clock=lambda: world.wall_time)
        before, past = Position(EPOCH, 0), world.wall_time - 5000
        hours = timedelta(hours=3)

        def good(issuer: Issuer = world.issuer, audience: str = AUDIENCE, **more: Any) -> str:
            return issuer.mint(subject="ada", client="web", audience=audience, position=before, **more)

        def bad_signature() -> str:
            token = good(foreign, "billing", issued_at=past)
            return token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBA")

        return [
            ("no_token", lambda: None),
            ("token_malformed", lambda: "a.b"),
            ("algorithm_not_allowed", lambda: changed_header(good(foreign), alg="none", kid="nobody")),
            ("unknown_key", lambda: good(forged, "billing", issued_at=past)),
            ("bad_signature", bad_signature),
            ("wrong_token_type", lambda: foreign.mint_data(client="web", audience="billing", data={}, position=before)),
            ("wrong_issuer", lambda: good(foreign, "billing", issued_at=past)),
            ("wrong_audience", lambda: good(audience="billing", issued_at=past, lifetime=hours)),
            ("lifetime_too_long", lambda: good(issued_at=past - 20_000, lifetime=hours)),
            ("token_not_yet_valid", lambda: good(issued_at=world.wall_time + 60)),
            ("token_expired", lambda: good(issued_at=past)),
            ("credentials_changed", good),
            ("not_permitted", lambda: world.token()),
        ]

    def test_fresh(self, world: World, stages: list[tuple[str, Callable[[], str | None]]]) -> None:
        """While knowledge is fresh, the earliest defect is the answer."""
        world.cut_off("user", "ada", "credentials_changed")
        guard = world.guard()
        for code, make in stages:
            assert decide(guard, make(), role("admin")) == code

    def test_stale(self, world: World, stages: list[tuple[str, Callable[[], str | None]]]) -> None:
        """Staleness comes before the rule; and what newer knowledge could turn into an acceptance is no verdict."""
        world.cut_off("user", "ada", "credentials_changed")
        guard = world.guard()
        world.now += OLD
        for code, make in stages:
            stale = code in ("unknown_key", "not_permitted")
            assert decide(guard, make(), role("admin")) == ("guard_stale" if stale else code)
        assert decide(guard, world.token(position=Position("other", 9))) == "guard_stale"

    def test_not_ready(self, world: World, stages: list[tuple[str, Callable[[], str | None]]]) -> None:
        """Without a snapshot there is no verdict on any token."""
        world.cut_off("user", "ada", "credentials_changed")
        made = [make() for _, make in stages]
        world.forget_everything()
        guard = world.guard()
        codes = {decide(guard, token) for token in made if token is not None}
        assert codes == {"guard_not_ready"}
        assert decide(guard, None) == "no_token"

    def test_no_row_comes_last(self, world: World) -> None:
        """Whoever has no token learns nothing about the policy."""
        guard = world.guard()
        assert decide(guard, None, None) == "no_token"
        assert decide(guard, "a.b.c", None) == "token_malformed"
        assert decide(guard, world.token(), None) == "no_rule"
        world.now += OLD
        assert decide(guard, world.token(), None) == "guard_stale"


class TestCutOff:
    """What is cut off, and what is not."""

    @pytest.mark.parametrize(
        ("scope", "name", "reason"),
        [
            ("everyone", "", "everything_expired"),
            ("client", "web", "client_revoked"),
            ("user", "ada", "user_disabled"),
            ("user", "ada", "user_deleted"),
            ("session", "s-1", "session_ended"),
            ("role", "editor", "roles_changed"),
            ("token", "t-1", "token_revoked"),
        ],
    )
    def test_scopes(self, world: World, scope: str, name: str, reason: str) -> None:
        """A cutoff stops older tokens of its scope; others and newer ones stand."""
        guard = world.guard(inherits={"chief": ["editor"]})
        ours = {"session": "s-1", "roles": ["editor"], "token_id": "t-1"}
        token = world.token(**ours)
        other = world.token(subject="bob", client="app", session="s-2", roles=["chief"])
        assert decide(guard, token) == "allowed"
        world.cut_off(scope, name, reason)
        assert decide(guard, token) == reason
        assert decide(guard, world.token(**ours)) == "allowed"
        assert decide(guard, other) == ("allowed" if scope != "everyone" else reason)

    def test_floor_epoch_and_withdrawn_key(self, world: World) -> None:
        """Below the floor, from another epoch, or under a withdrawn key: refused."""
        guard, token = world.guard(), world.token()
        world.number = 5
        world.learn(floor=3)
        assert decide(guard, token) == "below_floor"
        assert decide(guard, world.token(position=Position("e0", 5))) == "former_epoch"
        assert world.wakes == 1
        current = world.token()
        world.learn(withdrawn=(world.key.kid,))
        assert decide(guard, current) == "key_withdrawn"
        world.now += OLD
        assert decide(guard, current) == "key_withdrawn"

    def test_without_a_position(self, world: World) -> None:
        """A token of ours without a position is refused."""
        assert decide(world.guard(), world.token(position=None)) == "invalid_claim"

    def test_ahead(self, world: World) -> None:
        """A token from ahead of what is known is judged as usual, and wakes the source."""
        guard = world.guard()
        assert decide(guard, world.token()) == "allowed"
        assert world.wakes == 0
        assert decide(guard, world.token(position=Position(EPOCH, 7))) == "allowed"
        assert world.wakes == 1

    def test_a_caller_who_waits(self, world: World) -> None:
        """A good token that is refused only because knowledge is too old wakes the source."""
        guard, token = world.guard(), world.token()
        world.now += OLD
        assert decide(guard, token) == "guard_stale"
        assert world.wakes == 1

    def test_nobody_without_our_signature_wakes(self, world: World, keys: Mapping[str, Key]) -> None:
        """A stranger cannot make the follower ask, not even while knowledge is too old."""
        forged = Issuer(ISSUER, keys["ES256"], clock=lambda: world.wall_time)
        token = forged.mint(subject="x", audience=AUDIENCE, client="x", position=Position(EPOCH, 99))
        data = forged.mint_data(client="x", audience=AUDIENCE, data={}, position=Position(EPOCH, 99))
        assert decide(world.guard(), token) == "unknown_key"
        world.now += OLD
        assert decide(world.guard(), token) == "guard_stale"
        with pytest.raises(errors.Stale):
            world.guard().data(data)
        assert world.wakes == 0


class TestStaleness:
    """How old knowledge may be."""

    def test_bound(self, world: World) -> None:
        """Up to max_staleness, and not a moment longer."""
        guard = world.guard(max_staleness=timedelta(seconds=2))
        token = world.token()
        world.now += 2.0
        assert decide(guard, token) == "allowed"
        world.now += 0.001
        assert decide(guard, token) == "guard_stale"
        world.learn()
        assert decide(guard, token) == "allowed"

    def test_the_clock_comes_last(self, world: World) -> None:
        """A pause in the middle of a decision counts against it, for new tokens and for those seen before."""
        paused = Paused(world)
        guard = Guard(ISSUER, audience=AUDIENCE, source=paused, clock=lambda: world.wall_time)
        token = world.token()
        assert decide(guard, token) == "allowed"
        paused.seconds = OLD
        for shown in (token, world.token()):
            assert decide(guard, shown) == "guard_stale"
            world.learn()

    def test_status(self, world: World) -> None:
        """The status tells an operator what is known and how old it is."""
        guard = world.guard()
        world.cut_off("user", "bob", "user_disabled")
        world.now += 3
        status = guard.status()
        assert (status.fresh, status.position, status.epoch, status.staleness) == (True, 1, EPOCH, 3.0)
        assert (status.cutoffs, status.keys, status.last_error) == (1, [world.key.kid], None)
        world.now += 27
        assert guard.status().fresh
        world.now += 0.1
        world.last_error = "connection refused"
        assert (guard.status().fresh, guard.status().last_error) == (False, "connection refused")
        world.forget_everything()
        assert guard.status() == Status(False, None, None, None, 0, [], "connection refused", None, 0, ())

    def test_recheck(self, world: World) -> None:
        """Work that goes on asks again, and hears of what happened since it began."""
        guard = world.guard()
        caller = guard.verify(world.token())
        assert guard.recheck(caller).subject == caller.subject
        world.cut_off("user", "ada", "user_disabled")
        with pytest.raises(errors.UserDisabled):
            guard.recheck(caller)

    def test_repr(self, world: World) -> None:
        """It names what tokens must be from and for."""
        assert repr(world.guard()) == "Guard('https://auth.example', audience='orders')"


class TestTables:
    """Roles and permissions of this service."""

    def test_hierarchy(self, world: World) -> None:
        """A role brings the roles that it includes, at any depth, and all their permissions."""
        guard = world.guard(
            roles={"editor": ["orders:write"], "admin": ["orders:*"], "stranger": ["x"]},
            inherits={"root": ["admin"], "admin": ["editor", "reader"]},
        )
        caller = guard.verify(world.token(roles=["root"]))
        assert caller.roles == {"root", "admin", "editor", "reader"}
        assert caller.permissions == {"orders:write", "orders:*"}
        assert caller.may("orders:delete")
        assert guard.verify(world.token(roles=["editor"])).roles == {"editor"}

    @pytest.mark.parametrize(
        "settings",
        [
            {"inherits": {"a": ["b"], "b": ["c"], "c": ["a"]}},
            {"inherits": {"a": ["a"]}},
            {"inherits": {"a": "b"}},
            {"roles": {"a": "orders:write"}},
            {"roles": {"a": [""]}},
            {"max_staleness": timedelta()},
            {"feed": "https://x.example"},
            {"keys": KeySet()},
        ],
        ids=str,
    )
    def test_misuse(self, world: World, settings: dict[str, object]) -> None:
        """Tables and settings that cannot be meant are errors at the start."""
        with pytest.raises(ValueError, match=r"."):
            world.guard(**settings)


class TestAddress:
    """Where keys come from."""

    @pytest.mark.parametrize(
        "feed",
        [
            "http://auth.example",
            "ftp://auth.example",
            "auth.example",
            "https://u:p@auth.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://",
            "http://127.0.0.1.example",
            "https://a.example/ x",
            "http://localhost.evil",
        ],
    )
    def test_refused(self, feed: str) -> None:
        """No plain http beyond this machine, and nothing in the URL that is not its place."""
        with pytest.raises(ValueError, match=r"."):
            Guard(ISSUER, audience=AUDIENCE, feed=feed)
        with pytest.raises(ValueError, match=r"."):
            Guard(feed, audience=AUDIENCE)

    @pytest.mark.parametrize(
        "feed", ["http://127.0.0.1:1", "http://[::1]:1/x/", "http://localhost", "https://a.example/x"]
    )
    def test_accepted(self, feed: str) -> None:
        """Https, and plain http to this machine."""
        Guard(ISSUER, audience=AUDIENCE, feed=feed)
        Guard(ISSUER, audience=AUDIENCE, feed="http://auth.example", unsafely_allow_plain_http=True)
        Guard(ISSUER, audience=AUDIENCE, feed=feed, client_id="orders", client_secret="a secret")

    def test_several(self) -> None:
        """A list of replicas holds one URL at least, and none twice; each is as strictly read as a single one."""
        for feed in ([], ["https://a.example", "http://b.example"], ["https://a.example", ""]):
            with pytest.raises(ValueError, match=r"."):
                Guard(ISSUER, audience=AUDIENCE, feed=feed)
        guard = Guard(ISSUER, audience=AUDIENCE, feed=("https://a.example", "https://b.example", "https://a.example/"))
        assert isinstance(guard._source, Follower)
        assert [address.host for address in guard._source._addresses] == ["a.example", "b.example"]

    def test_half_a_pair(self) -> None:
        """An id without a secret is an error at the start."""
        with pytest.raises(ValueError, match="together"):
            Guard(ISSUER, audience=AUDIENCE, client_id="orders")


class TestFixedKeys:
    """A guard without a feed."""

    def test_never_stale(self, world: World) -> None:
        """Keys alone decide; no position is asked for, and nothing goes stale."""
        guard = Guard(ISSUER, audience=AUDIENCE, keys=world.key.public, clock=lambda: world.wall_time)
        assert decide(guard, world.token(position=None)) == "allowed"
        assert decide(guard, world.token()) == "allowed"
        assert decide(guard, world.token(audience="billing")) == "wrong_audience"
        assert (guard.status().fresh, guard.status().staleness) == (True, 0.0)

    async def test_lifespan(self, world: World) -> None:
        """It starts and stops like any other."""
        guard = Guard(ISSUER, audience=AUDIENCE, keys=[world.key.public])
        async with guard.lifespan():
            assert guard.status().fresh


class TestLife:
    """Start and stop."""

    def test_the_first_decision_starts_the_source(self, world: World) -> None:
        """Whoever forgot to start it is protected all the same."""
        guard = world.guard()
        assert world.starts == 0
        assert decide(guard, None) == "no_token"
        assert world.starts == 0
        decide(guard, world.token())
        decide(guard, world.token())
        assert world.starts == 1

    def test_a_stopped_guard_stays_stopped(self, world: World) -> None:
        """A decision after the end decides on what is known, and starts nothing."""
        guard = world.guard()
        guard.start()
        guard.stop()
        assert decide(guard, world.token()) == "allowed"
        assert world.starts == 1


class TestData:
    """Data tokens."""

    def data(self, world: World, **changes: object) -> str:
        """A data token of the client billing for this service."""
        position = Position(EPOCH, world.number)
        common = {"client": "billing", "audience": AUDIENCE, "data": {"n": 1}, "position": position}
        token: str = world.issuer.mint_data(**common | changes)  # type: ignore[arg-type]
        return token

    def test_what_is_unknown(self, world: World, keys: Mapping[str, Key]) -> None:
        """An unknown key or epoch is refused while knowledge is fresh, and is no verdict while it is old."""
        guard = world.guard()
        foreign = Issuer(ISSUER, keys["ES256"], clock=lambda: world.wall_time)
        strange = foreign.mint_data(client="billing", audience=AUDIENCE, data={})
        former = self.data(world, position=Position("e0", 0))
        for seconds, kinds in ((0, (errors.UnknownKey, errors.FormerEpoch)), (OLD, (errors.Stale, errors.Stale))):
            world.now += seconds
            for token, kind in zip((strange, former), kinds, strict=True):
                with pytest.raises(kind):
                    guard.data(token)

    def test_good(self, world: World) -> None:
        """What another client sent comes out, with its name."""
        data = world.guard().data(self.data(world))
        assert (data.client, dict(data.content)) == ("billing", {"n": 1})

    @pytest.mark.parametrize(
        ("scope", "name", "reason"),
        [
            ("client", "billing", "client_revoked"),
            ("everyone", "", "everything_expired"),
            ("token", "t", "token_revoked"),
        ],
    )
    def test_cut_off(self, world: World, scope: str, name: str, reason: str) -> None:
        """Cutoffs for its client, for everyone and for itself apply."""
        token = self.data(world, token_id="t")
        world.cut_off(scope, name, reason)
        with pytest.raises(errors.CutOff) as refused:
            world.guard().data(token)
        assert refused.value.code == reason

    def test_refused(self, world: World) -> None:
        """Neither kind of token passes for the other; staleness counts, and whoever waits for it to end is heard."""
        guard = world.guard()
        with pytest.raises(errors.WrongType):
            guard.data(world.token())
        with pytest.raises(errors.WrongType):
            guard.verify(self.data(world))
        with pytest.raises(errors.WrongAudience):
            guard.data(self.data(world, audience="else"))
        token = self.data(world)
        world.now += OLD
        with pytest.raises(errors.Stale):
            guard.data(token)
        assert world.wakes == 1
