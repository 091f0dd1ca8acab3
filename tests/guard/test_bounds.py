"""Bounds: how old what is known may be, for a guard and for single rules."""

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any, cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.guard.authority import Authority
from tests.guard.test_follower import until
from tests.guard.test_learner import Bench
from tests.guard.world import ISSUER, World, ask

from watchword import Caller, Guard, Issuer, Policy, Position, Refused, Rule, Verifier, anyone, errors, role
from watchword.frameworks import fastapi
from watchword.guard.decisions import Decision
from watchword.guard.follower import Follower
from watchword.guard.rules import signed_in

TWO_SECONDS, AN_HOUR = timedelta(seconds=2), timedelta(hours=1)


async def shop(scope: Any, _: Any, send: Any) -> None:
    """Answers nothing in particular."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


ROWS = Policy(
    ("POST", "/payments", role("editor").within(TWO_SECONDS)),
    ("GET", "/orders", signed_in),
    ("GET", "/articles", signed_in.within(AN_HOUR)),
    ("GET", "/weather", signed_in.unsafely_accept_stale()),
    ("GET", "/health", anyone),
)
PATHS = [("POST", "/payments"), ("GET", "/orders"), ("GET", "/articles"), ("GET", "/weather")]


class TestRows:
    """A row's own bound takes the place of the guard's."""

    @pytest.mark.parametrize(
        ("age", "passed"), [(0, 4), (2, 4), (2.1, 3), (30, 3), (30.1, 2), (3600, 2), (3600.1, 1), (90_000, 1)]
    )
    @pytest.mark.parametrize("before", [False, True])
    async def test_each_has_its_own(self, world: World, age: float, passed: int, before: bool) -> None:
        """Whether the token was seen before or not; what is refused may be repeated soon."""
        app = world.guard().asgi(shop, ROWS)
        token = world.token(roles=["editor"])
        if before:
            await ask(app, "/orders", token=token)
        world.now += age
        answers = [await ask(app, path, method, token) for method, path in PATHS]
        statuses = [answer.status for answer in answers]
        assert statuses == [503] * (4 - passed) + [200] * passed
        for refused in answers[: 4 - passed]:
            assert (refused.json["code"], refused.header("retry-after")) == ("guard_stale", "1")

    async def test_what_is_known_counts(self, world: World) -> None:
        """Stale knowledge still refuses whom it knows to be revoked, and before there is any, nobody gets in."""
        app = world.guard().asgi(shop, ROWS)
        ada, bob = world.token(), world.token(subject="bob")
        world.cut_off("user", "ada", "user_disabled")
        world.now += 7200
        assert (await ask(app, "/weather", token=ada)).json["code"] == "user_disabled"
        assert (await ask(app, "/weather", token=bob)).status == 200
        world.forget_everything()
        assert (await ask(app, "/weather", token=bob)).json["code"] == "guard_not_ready"

    async def test_order(self, world: World) -> None:
        """Age comes after what the token says by itself, and before the rule."""
        app = world.guard().asgi(shop, ROWS)
        world.now += 3
        assert (await ask(app, "/payments", "POST", world.token())).json["code"] == "guard_stale"
        old = world.token(roles=["editor"])
        world.wall_time += 400
        assert (await ask(app, "/payments", "POST", old)).json["code"] == "token_expired"

    async def test_what_newer_knowledge_could_turn(self, world: World, keys: Any) -> None:
        """An unknown key or epoch is no verdict beyond the shorter of both bounds, whatever acceptances may rest on."""
        app = world.guard().asgi(shop, ROWS)
        stranger = Issuer(ISSUER, keys["ES256"], clock=lambda: world.wall_time)
        unknown = stranger.mint(subject="ada", audience="orders", client="web", position=world.head)
        later = world.token(position=Position("e2", 0))
        for age, codes in (
            (1, {"unknown_key", "former_epoch"}),
            (3, {"guard_stale", "unknown_key", "former_epoch"}),
            (31, {"guard_stale"}),
        ):
            world.learn()
            world.now += age
            answers = [await ask(app, path, method, token) for method, path in PATHS for token in (unknown, later)]
            assert {answer.json["code"] for answer in answers} == codes
            assert (answers[0].json["code"] == "guard_stale") is (age > 2)

    def test_text(self) -> None:
        """As the audit log has it."""
        assert str(role("a").within(TWO_SECONDS)) == "role a within 2 s"
        assert str((role("a") | role("b")).within(AN_HOUR)) == "(role a or role b) within 3600 s"
        assert str(role("a").unsafely_accept_stale()) == "role a stale or not"
        assert role("a").within(TWO_SECONDS).bound == 2
        assert role("a").unsafely_accept_stale().bound == math.inf
        assert role("a").bound is None

    def test_missing(self, world: World) -> None:
        """What the caller lacks is what the rule inside says."""
        caller = world.guard().verify(world.token())
        rule = (role("a") & role("b")).within(AN_HOUR)
        assert rule.missing(caller) == ("role a", "role b")
        refusal = rule.refusal(caller)
        assert refusal is not None
        assert refusal.public == {"missing": ["role a", "role b"]}


class TestGuard:
    """The guard's own bound."""

    def test_any_age(self, world: World) -> None:
        """Under an ugly name everything known is good enough; what is asked for more closely still is."""
        guard = world.guard(unsafely_accept_stale=True)
        token = world.token(roles=["editor"])
        world.now += 90_000
        assert guard.verify(token).subject == "ada"
        assert not guard.status().fresh
        strict = role("editor").within(TWO_SECONDS)
        with pytest.raises(errors.Stale):
            guard.decide([f"Bearer {token}".encode()], strict, Decision("GET", "/"))
        data = world.issuer.mint_data(client="web", audience="orders", data={}, position=world.head)
        assert guard.data(data).client == "web"
        world.cut_off("user", "ada", "user_disabled")
        with pytest.raises(errors.UserDisabled):
            guard.verify(token)
        world.forget_everything()
        with pytest.raises(errors.NotReady):
            guard.verify(token)


def code(caller: Caller, rule: Rule) -> str | None:
    """What `Caller.require` says."""
    try:
        caller.require(rule)
    except Refused as why:
        return why.code
    return None


class TestRequire:
    """Where a handler holds such a rule against its caller, it can only narrow."""

    def test_judged_once_more(self, world: World) -> None:
        """By what is known then: its age, and everything that was revoked since."""
        caller = world.guard().verify(world.token(roles=["editor"]))
        strict, lax = role("editor").within(TWO_SECONDS), role("editor").unsafely_accept_stale()
        assert (code(caller, strict), code(caller, lax)) == (None, None)
        world.now += 3
        assert (code(caller, role("editor")), code(caller, strict), code(caller, lax)) == (None, "guard_stale", None)
        world.learn()
        assert code(caller, strict) is None
        assert code(caller, role("admin").within(TWO_SECONDS)) == "not_permitted"
        world.cut_off("user", "ada", "user_disabled")
        assert code(caller, role("editor")) is None
        assert (code(caller, strict), code(caller, lax)) == ("user_disabled", "user_disabled")

    def test_no_wider_than_the_row(self, world: World) -> None:
        """What the guard refused, no rule in a handler lets in."""
        app, guard = FastAPI(), world.guard()
        fastapi.protect(app, guard)

        @app.get("/read")
        def read(_: Annotated[Caller, fastapi.need(signed_in.within(AN_HOUR))]) -> str:
            return "read"

        @app.get("/pay")
        def pay(_: Annotated[Caller, fastapi.need(signed_in.within(TWO_SECONDS))]) -> str:
            return "paid"

        client, headers = TestClient(app), {"Authorization": f"Bearer {world.token()}"}
        found = []
        for age in (1, 3, 31):
            world.learn()
            world.now += age
            found.append([client.get(path, headers=headers).status_code for path in ("/read", "/pay")])
        assert found == [[200, 200], [200, 503], [503, 503]]

    def test_without_a_guard(self, world: World) -> None:
        """Who was verified by nothing but a signature satisfies no bound; fixed keys never grow old."""
        verifier = Verifier(ISSUER, "orders", world.key.public, clock=lambda: world.wall_time)
        caller = verifier.verify(world.token())
        assert code(caller, signed_in.within(AN_HOUR)) == "guard_stale"
        assert code(caller, signed_in.unsafely_accept_stale()) is None
        fixed = Guard(ISSUER, audience="orders", keys=world.key.public, clock=lambda: world.wall_time)
        assert code(fixed.verify(world.token()), signed_in.within(TWO_SECONDS)) is None
        unjudged = Caller._of(caller._facts, Decision("GET", "/", world.token()))
        assert code(unjudged, signed_in.within(AN_HOUR)) == "guard_not_ready"


class TestPace:
    """What is known is renewed as often as the shortest bound needs."""

    @pytest.fixture
    def authority(self, keys: Any) -> Iterator[Authority]:
        """A running authority."""
        running = Authority(keys["Ed25519"])
        yield running
        running.close()

    @pytest.fixture
    def protect(self, authority: Authority) -> Iterator[Callable[..., Guard]]:
        """Makes guards, and stops them at the end."""
        made: list[Guard] = []

        def make(**settings: Any) -> Guard:
            made.append(Guard(authority.url, audience="orders", **settings))
            return made[-1]

        yield make
        for guard in made:
            guard.stop()

    @pytest.mark.parametrize("bound", [1, 2, 30])
    @pytest.mark.parametrize("trip", [0.001, 0.02])
    def test_a_quiet_guard(self, bound: float, trip: float) -> None:
        """While all is well and nothing happens, what is known is never older than half of the shortest bound."""
        bench, oldest = Bench(max_staleness=timedelta(seconds=30)), 0.0
        bench.learner.expect(bound)
        for _ in range(200):
            question = bench.learner.question()
            bench.now += trip + question.hold
            if bench.learner.known is not None:
                oldest = max(oldest, bench.now - bench.learner.known.as_of)
            if not bench.learn(question):
                bench.now = max(bench.now, question.asked + question.pause)
        assert bound / 4 < oldest <= bound / 2 + 3 * trip

    def test_longest_and_shortest(self) -> None:
        """The shortest bound says how often to ask; the longest is what the authority is told, a day at most."""
        bench = Bench(max_staleness=timedelta(seconds=30))
        bench.learn(bench.learner.question())
        asked = []
        for bound in (60.0, 2.0, 10.0, math.inf):
            wrong = bench.learner.expect(bound)  # whether the question that is open must be asked anew
            asked.append((wrong, bench.learner.question().hold, bench.learner.question().stale))
        assert asked == [(False, 7.5, 60), (True, 0.5, 60), (False, 0.5, 60), (True, 0.5, 86400)]
        assert Bench(max_staleness=timedelta(days=2)).learner.question().stale == 86400
        bench = Bench(max_staleness=timedelta(milliseconds=1))
        bench.learn(bench.learner.question())
        assert (bench.learner.question().hold, bench.learner.question().pause) == (0.05, 0.05)

    def test_a_wall_tells(self, authority: Authority, protect: Callable[..., Guard]) -> None:
        """Bounds are known as soon as there is a wall, also to a guard that follows already."""
        guard = protect()
        guard.start()
        until(lambda: bool(authority.asked) and authority.asked[-1]["hold"] == "7.5")
        guard.asgi(shop, Policy(("GET", "/a", signed_in.within(timedelta(seconds=200)))))
        guard.asgi(shop, Policy(("GET", "/b", signed_in.within(timedelta(seconds=4)))))
        until(lambda: authority.asked[-1]["hold"] == "1")
        assert authority.asked[-1]["stale"] == "200"
        assert "after" in authority.asked[-1]
        run = cast("Follower", guard._source)._run
        guard.asgi(shop, Policy(("GET", "/b", signed_in.within(timedelta(seconds=4)))))
        assert cast("Follower", guard._source)._run is run
        assert guard.status().last_error is None

    def test_before_the_start(self, authority: Authority, protect: Callable[..., Guard]) -> None:
        """Bounds may be told before anything is followed."""
        guard = protect(unsafely_accept_stale=True)
        guard.asgi(shop, ROWS)
        guard.start()
        until(lambda: bool(authority.asked) and authority.asked[-1]["hold"] == "0.5")
        assert {query["stale"] for query in authority.asked} == {"86400"}

    def test_first_met(self, authority: Authority, protect: Callable[..., Guard]) -> None:
        """A bound that only a handler knows is told when it is first met."""
        guard = protect()
        guard.start()
        until(lambda: len(authority.asked) > 1)
        issuer = Issuer(authority.url, authority.key)
        caller = guard.verify(issuer.mint(subject="a", audience="orders", client="web", position=Position("e1", 0)))
        caller.require(signed_in.within(timedelta(seconds=8)))
        until(lambda: authority.asked[-1]["hold"] == "2")
