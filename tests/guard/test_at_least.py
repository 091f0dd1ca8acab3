"""``Watchword-At-Least``: a request waits until the guard has heard of the change that it names."""

import asyncio
import logging
from typing import Any

import pytest
from tests.guard.world import ISSUER, Answered, World, ask

from watchword import Guard, Policy, Position, anyone, errors, role
from watchword.guard import catching_up
from watchword.guard.asgi import App
from watchword.guard.rules import signed_in

POLICY = Policy(("GET", "/health", anyone), ("GET", "/admin", role("admin")), ("*", "/**", signed_in))


async def shop(scope: Any, receive: Any, send: Any) -> None:
    """Lets everybody in whom the wall lets in."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def app(world: World) -> App:
    """A shop behind a wall."""
    return world.guard().asgi(shop, POLICY)


def at_least(token: str, *positions: object, **scope: Any) -> dict[str, Any]:
    """A scope with these headers."""
    fields = [(b"watchword-at-least", str(position).encode()) for position in positions]
    return {"headers": [(b"authorization", f"Bearer {token}".encode()), *fields], **scope}


async def waiting(app: App, world: World, **scope: Any) -> asyncio.Task[Answered]:
    """A request that waits by now."""
    wakes = world.wakes
    task = asyncio.create_task(ask(app, **scope))
    while world.wakes == wakes:
        assert not task.done()
        await asyncio.sleep(0)
    return task


class TestKnown:
    """What is known already costs nothing."""

    async def test_passes(self, app: App, world: World) -> None:
        """Neither a position that is known, nor an earlier one, is waited for."""
        world.cut_off("user", "bob", "user_disabled")
        token = world.token()
        for number in (0, 1):
            answer = await ask(app, **at_least(token, Position("e1", number)))
            assert answer.status == 200
        assert world.wakes == 0

    async def test_open_rows(self, app: App, world: World) -> None:
        """Where anyone may, it is ignored, and so is what it should not be."""
        for text in ("e1.99", "junk"):
            assert (await ask(app, "/health", **at_least("junk", text, text))).status == 200

    @pytest.mark.parametrize("texts", [[""], ["1"], ["e1.01"], ["e1.1, e1.1"], ["e1.-1"], ["é.1"], ["e1.0", "e1.0"]])
    async def test_no_position(
        self, app: App, world: World, texts: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is not one position is refused, with a line in the audit log."""
        caplog.set_level(logging.INFO, "watchword.decisions")
        answer = await ask(app, **at_least(world.token(), *texts))
        assert (answer.status, answer.json["code"]) == (400, "invalid_position")
        assert [record.__dict__["code"] for record in caplog.records] == ["invalid_position"]
        assert caplog.records[0].__dict__["decision"] == answer.json["decision"]

    async def test_a_value_that_is_no_bytes(self, app: App, world: World) -> None:
        """Nor is what no server would send."""
        scope = at_least(world.token())
        scope["headers"].append((b"watchword-at-least", "e1.0"))
        assert (await ask(app, **scope)).status == 400

    async def test_spelling(self, app: App, world: World) -> None:
        """A field's name in another spelling counts, blanks around the value do not, and longer names are others."""
        scope = at_least(world.token())
        scope["headers"] += [(b"Watchword-AT-least", b" \te1.0 "), (b"x" * 18, b"")]
        assert (await ask(app, **scope)).status == 200
        scope["headers"] += [(b"WATCHWORD-AT-LEAST", b"e1.0")]
        assert (await ask(app, **scope)).status == 400


class TestWaiting:
    """A guard that is behind wakes its source, and decides once it has heard."""

    async def test_catches_up(self, app: App, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """It lets the request in once it knows the change, and serves others meanwhile; there is one audit line."""
        caplog.set_level(logging.INFO, "watchword.decisions")
        token = world.token()
        task = await waiting(app, world, **at_least(token, "e1.2"))
        world.cut_off("user", "bob", "user_disabled")
        assert (await ask(app, path="/other", token=token)).status == 200
        assert not task.done()
        world.cut_off("user", "eve", "user_disabled")
        assert (await task).status == 200
        assert [record.__dict__["path"] for record in caplog.records] == ["/other", "/orders"]

    async def test_read_your_own_revocation(self, app: App, world: World) -> None:
        """It may be the token itself that the change revokes: it is judged by what is known then."""
        task = await waiting(app, world, **at_least(world.token(), "e1.1"))
        world.cut_off("user", "ada", "credentials_changed")
        assert (await task).json["code"] == "credentials_changed"

    @pytest.mark.parametrize("position", ["e1.1", "e2.0"])
    async def test_in_vain(
        self,
        app: App,
        world: World,
        monkeypatch: pytest.MonkeyPatch,
        position: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What does not come in time, or is of another epoch, gets 503: whoever asks may try again."""
        monkeypatch.setattr(catching_up, "MAX_WAIT", 0.05)
        answer = await ask(app, **at_least(world.token(), position))
        assert (answer.status, answer.json["code"], answer.header("retry-after")) == (503, "behind", "1")
        assert world.wakes == 1
        lines = [(record.levelno, record.__dict__["code"], record.__dict__["rule"]) for record in caplog.records]
        assert lines == [(logging.WARNING, "behind", "signed in")]

    async def test_never_for_the_refused(self, app: App, world: World) -> None:
        """A token that is bad, a caller who may not, and a guard that knows too little are refused at once."""
        cases = [("/orders", "junk", "token_malformed"), ("/admin", world.token(), "not_permitted")]
        for path, token, code in cases:
            assert (await ask(app, path, **at_least(token, "e1.9"))).json["code"] == code
        world.now += 100
        assert (await ask(app, **at_least(world.token(), "e1.9"))).json["code"] == "guard_stale"
        world.forget_everything()
        assert (await ask(app, **at_least(world.token(), "e1.9"))).json["code"] == "guard_not_ready"
        assert world.wakes == 1  # by the one whose token was good, on old knowledge

    async def test_not_too_many(self, app: App, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only so many wait at the same time; who goes away, or is served, makes room."""
        monkeypatch.setattr(catching_up, "MAX_WAITING", 2)
        scope = at_least(world.token(), "e1.1")
        first, second = await waiting(app, world, **scope), await waiting(app, world, **scope)
        assert (await ask(app, **scope)).json["code"] == "behind"
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        third = await waiting(app, world, **scope)
        assert (await ask(app, **scope)).json["code"] == "behind"
        world.cut_off("user", "bob", "user_disabled")
        assert [(await task).status for task in (second, third)] == [200, 200]
        fourth = await waiting(app, world, **at_least(world.token(), "e1.2"))
        world.cut_off("user", "eve", "user_disabled")
        assert (await fourth).status == 200

    async def test_websocket(self, app: App, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handshake waits like a request."""
        scope = at_least(world.token(), "e1.1", type="websocket")
        task = await waiting(app, world, **scope)
        world.cut_off("user", "bob", "user_disabled")
        assert [message["type"] for message in (await task).sent] == ["websocket.accept", "websocket.close"]
        monkeypatch.setattr(catching_up, "MAX_WAIT", 0.0)
        answer = await ask(app, **at_least(world.token(), "e1.7", type="websocket"))
        assert answer.sent == [{"type": "websocket.close", "code": 1013, "reason": "behind"}]


class TestReach:
    """For whoever has no wall."""

    async def test_reach(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """`Guard.reach` returns once a position is known, and raises if it does not come."""
        monkeypatch.setattr(catching_up, "MAX_WAIT", 0.0)
        guard = world.guard()
        assert not guard.lacks(Position("e1", 0))
        await guard.reach(Position("e1", 0))
        for position in (Position("e1", 1), Position("e2", 0)):
            assert guard.lacks(position)
            with pytest.raises(errors.Behind):
                await guard.reach(position)
        world.forget_everything()
        with pytest.raises(errors.Behind):
            await guard.reach(Position("e1", 0))

    async def test_fixed_keys(self, world: World) -> None:
        """A guard with fixed keys hears of no change, ever: who insists on one is refused at once."""
        guard = Guard(ISSUER, audience="orders", keys=world.key.public, clock=lambda: world.wall_time)
        app = guard.asgi(shop, POLICY)
        assert (await ask(app, **at_least(world.token(), "e1.0"))).json["code"] == "behind"
        assert (await ask(app, **at_least(world.token()))).status == 200
