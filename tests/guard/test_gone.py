"""What a caller can ask and be given while it stands: to hear of its end, and a fresh token for its connection."""

import asyncio
import contextlib
import gc
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.guard.test_connections import EVENTS, PIECE, POLICY, accepting
from tests.guard.wire import PATIENCE, Wire
from tests.guard.world import World, ask

from watchword import Caller, Guard, Policy, Refused, Verifier, errors, owner, role, signed_in
from watchword.guard import connections as connections_module
from watchword.guard import lookout as lookout_module
from watchword.guard.asgi import App, Receive, Scope, Send
from watchword.guard.decisions import Decision


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps that do not end are cancelled soon, and clocks are looked at often."""
    monkeypatch.setattr(connections_module, "GRACE", 0.02)
    monkeypatch.setattr(lookout_module, "TICK", 0.01)


def renewing(kept: list[Caller], *, catch: bool = False) -> App:
    """An app that takes each message for a fresh token, keeps all callers, and tells what became of it."""

    async def act(scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope["caller"]
        kept.append(caller)
        while (message := await receive())["type"] == "websocket.receive":
            try:
                caller = caller.renew(message["text"])
                kept.append(caller)
                told = f"{caller.subject} {sorted(caller.roles)}"
            except Refused as refusal:
                if not catch:
                    raise
                told = refusal.code
            await send({"type": "websocket.send", "text": told})

    return accepting(act)


class Message:
    """Something large."""


def _judge(caller: Caller, message: Message) -> None:
    """Refuse it, by a frame that holds it."""
    caller.require(owner("bob"))


class TestRenew:
    """A fresh token for an open connection."""

    async def test_it_lives_on(self, world: World) -> None:
        """By the new token from then on, whatever becomes of the old one."""
        guard, kept = world.guard(), list[Caller]()
        async with Wire(guard.asgi(renewing(kept), POLICY), world.token(token_id="t-1")) as wire:
            await wire.hear()
            world.wall_time += 200
            wire.text(world.token(token_id="t-2", roles=["editor"]))
            assert (await wire.hear())["text"] == "ada ['editor']"
            assert guard.status().connections == 1
            world.wall_time += 110
            world.cut_off("token", "t-1", "token_revoked")
            wire.text(world.token(token_id="t-3"))
            assert (await wire.hear())["text"] == "ada []"
            world.cut_off("token", "t-3", "token_revoked")
            assert await wire.hear() == {"type": "websocket.close", "code": 3000, "reason": "token_revoked"}
            await wire.end()
        assert [caller.token_id for caller in kept] == ["t-1", "t-2", "t-3"]
        assert guard.status().connections == 0

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"subject": "bob"}, "another_caller"),
            ({"session": "s-2"}, "another_caller"),
            ({"session": None}, "another_caller"),
            ({"client": "phone"}, "another_caller"),
            ({"audience": "invoices"}, "wrong_audience"),
            ({"issued_at": 1_600_000_000}, "token_expired"),
            ({"roles": ["reader"]}, "not_permitted"),
        ],
    )
    async def test_refused(self, world: World, claims: dict[str, Any], code: str) -> None:
        """It lives on by the token that it has, if the app catches the refusal."""
        guard, kept = world.guard(), list[Caller]()
        usual = {"session": "s-1", "roles": ["editor"]}
        app = guard.asgi(renewing(kept, catch=True), POLICY)
        async with Wire(app, world.token(**usual), "/editors") as wire:
            await wire.hear()
            for token in (world.token(**usual | claims), "rubbish", "a, b", "é"):
                wire.text(token)
                assert (await wire.hear())["text"] in (code, "token_malformed", "ambiguous_credentials")
            wire.text(world.token(**usual))
            assert (await wire.hear())["text"] == "ada ['editor']"
            assert len(kept) == 2
            world.wall_time += 303
            assert (await wire.hear())["reason"] == "token_expired"

    @pytest.mark.parametrize("token", [None, 1, ["a"], {"token": "a"}])
    async def test_what_is_no_text(self, world: World, token: Any) -> None:
        """A client's message may hold anything: it is refused, as any rubbish is."""
        guard, kept = world.guard(), list[Caller]()
        async with Wire(guard.asgi(renewing(kept, catch=True), POLICY), world.token()) as wire:
            await wire.hear()
            wire.text(token)
            assert (await wire.hear())["text"] == "token_malformed"

    async def test_a_refusal_that_passes(self, world: World) -> None:
        """It closes the connection with its code."""
        async with Wire(world.guard().asgi(renewing([]), POLICY), world.token(roles=["editor"]), "/editors") as wire:
            await wire.hear()
            wire.text(world.token())
            assert await wire.hear() == {"type": "websocket.close", "code": 3003, "reason": "not_permitted"}
            assert await wire.end() == []

    async def test_a_cut_off_token(self, world: World) -> None:
        """What is known of revocations is held against the fresh token too."""
        async with Wire(world.guard().asgi(renewing([]), POLICY), world.token(session="s")) as wire:
            await wire.hear()
            fresh = world.token(session="s", token_id="t-2")
            world.cut_off("token", "t-2", "token_revoked")
            wire.text(fresh)
            assert (await wire.hear())["reason"] == "token_revoked"

    async def test_rules_of_the_handler(self, world: World) -> None:
        """What was asked before the client was let in is asked again; what was asked later was about something else."""
        kept: list[Caller] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            caller = scope["caller"]
            kept.append(caller)
            caller.require(role("editor"))
            await receive()
            await send({"type": "websocket.accept"})
            caller.require(role("reader"))
            while True:
                try:
                    caller = caller.renew((await receive())["text"])
                    await send({"type": "websocket.send", "text": "renewed"})
                except errors.NotPermitted as refusal:
                    await send({"type": "websocket.send", "text": str(refusal.public["missing"])})

        async with Wire(world.guard().asgi(act, POLICY), world.token(roles=["editor", "reader"])) as wire:
            await wire.hear()
            for roles, told in ((["reader"], "['role editor']"), (["editor"], "renewed"), ([], "['role editor']")):
                wire.text(world.token(roles=roles))
                assert (await wire.hear())["text"] == told
        assert [str(rule) for rule in kept[0]._shown.held] == ["role editor"]  # type: ignore[attr-defined]

    async def test_a_rule_that_is_asked_again_and_again(self, world: World) -> None:
        """It is kept once, and by a caller who can open no connection not at all."""
        guard, kept = world.guard(), list[Caller]()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            kept.append(scope["caller"])

        await ask(guard.asgi(app, POLICY), token=world.token())
        kept.append(guard.verify(world.token()))
        kept.append(guard.recheck(kept[0]))
        for caller in kept:
            for _ in range(3):
                caller.require(owner("ada"))
        assert [len(caller._shown.held) for caller in kept] == [1, 0, 0]  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("number", "told"), [(64, "renewed"), (65, "not_permitted"), (1000, "not_permitted")])
    async def test_more_rules_than_are_kept(self, world: World, number: int, told: str) -> None:
        """What cannot be asked again is not taken for satisfied."""
        kept: list[Caller] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            caller = scope["caller"]
            kept.append(caller)
            for order in range(number):
                caller.require(owner("ada") | role(f"reads-{order}"))
            await receive()
            await send({"type": "websocket.accept"})
            try:
                caller.renew(world.token())
                await send({"type": "websocket.send", "text": "renewed"})
            except Refused as refusal:
                await send({"type": "websocket.send", "text": refusal.code})

        async with Wire(world.guard().asgi(act, POLICY), world.token()) as wire:
            await wire.hear()
            assert (await wire.hear())["text"] == told
        assert len(kept[0]._shown.held) <= 65  # type: ignore[attr-defined]

    async def test_without_a_connection(self, world: World) -> None:
        """It is a mistake, and named as one: before, after, elsewhere, and where no guard is."""
        kept: list[Caller] = []
        guard, fresh = world.guard(), world.token()

        async def early(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(RuntimeError, match="no connection is open"):
                scope["caller"].renew(fresh)
            await renewing(kept)(scope, receive, send)

        async with Wire(guard.asgi(early, POLICY), world.token()) as wire:
            await wire.hear()
            with pytest.raises(RuntimeError, match="event loop"):
                await asyncio.to_thread(kept[0].renew, fresh)
        verifier = Verifier(world.issuer.issuer, "orders", world.key.public, clock=lambda: world.wall_time)
        for caller in (kept[0], guard.verify(fresh), verifier.verify(fresh)):
            with pytest.raises(RuntimeError, match="no connection is open"):
                caller.renew(fresh)

    async def test_after_the_end(self, world: World) -> None:
        """A connection that was closed does not come back; the reason is told again."""
        kept: list[Caller] = []
        told: list[Refused] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            with pytest.raises(errors.SignedOut) as refused:
                scope["caller"].renew(world.token())
            told.append(refused.value)

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "signed_out")
            await wire.end()
        assert len(told) == 1
        assert kept == []

    async def test_a_stream(self, world: World) -> None:
        """It can be renewed too, by what came in another request."""
        guard, kept = world.guard(), list[Caller]()
        go_on = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["caller"].require(owner("ada"))
            await send(dict(EVENTS))
            await send(dict(PIECE))
            kept.append(scope["caller"].renew(world.token(token_id="t-2")))
            go_on.set()
            await receive()
            await receive()

        async with Wire(guard.asgi(app, POLICY), world.token(token_id="t-1"), kind="http") as wire:
            await go_on.wait()
            world.cut_off("token", "t-1", "token_revoked")
            await wire.hear()
            assert guard.status().connections == 1
            world.cut_off("token", "t-2", "token_revoked")
            await wire.end()
        assert kept[0].token_id == "t-2"


class TestGone:
    """Waiting for the end."""

    @pytest.mark.parametrize(
        ("happen", "code"),
        [
            (lambda world: world.cut_off("user", "ada", "signed_out"), "signed_out"),
            (lambda world: setattr(world, "wall_time", world.wall_time + 303), "token_expired"),
            (lambda world: setattr(world, "now", world.now + 31), "guard_stale"),
            (lambda world: world.learn(withdrawn=(world.key.kid,)), "key_withdrawn"),
        ],
    )
    async def test_why(self, world: World, happen: Callable[[World], None], code: str) -> None:
        """All who wait are told why, for any caller of a guard; and who asks later is told at once."""
        guard = world.guard()
        caller, other = guard.verify(world.token()), guard.verify(world.token(subject="bob", lifetime=None))
        waiting = [asyncio.create_task(caller.gone()) for _ in range(100)]
        others = asyncio.create_task(other.gone())
        await asyncio.sleep(0)
        assert guard.status().connections == 0
        happen(world)
        async with asyncio.timeout(PATIENCE):
            told = await asyncio.gather(*waiting)
            assert {refusal.code for refusal in told} == {code}
            assert (await caller.gone()).code == code
        others.cancel()
        await asyncio.wait({others})
        assert guard.lookouts._on == {}

    async def test_cancelled(self, world: World) -> None:
        """Whoever waits no more is forgotten."""
        guard = world.guard()
        waiting = asyncio.create_task(guard.verify(world.token()).gone())
        await asyncio.sleep(0)
        assert len(world.listeners) == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(world.listeners) == 0
        world.cut_off("user", "ada", "signed_out")
        await asyncio.sleep(0)

    async def test_a_renewed_connection(self, world: World) -> None:
        """The fresh token counts, for callers of the old one too."""
        kept: list[Caller] = []
        async with Wire(world.guard().asgi(renewing(kept), POLICY), world.token(token_id="t-1")) as wire:
            await wire.hear()
            early = asyncio.create_task(kept[0].gone())
            wire.text(world.token(token_id="t-2"))
            await wire.hear()
            late = asyncio.create_task(kept[0].gone())
            await asyncio.sleep(0)
            world.cut_off("token", "t-1", "token_revoked")
            third = asyncio.create_task(kept[1].gone())
            wire.text(world.token(token_id="t-3"))
            await wire.hear()
            world.cut_off("token", "t-2", "token_revoked")
            wire.text("x")
            assert (await wire.hear())["type"] == "websocket.close"
            assert not any(task.done() for task in (early, late, third))
            world.cut_off("token", "t-3", "signed_out")
            assert {(await task).code for task in (early, late, third)} == {"signed_out"}

    async def test_bounds(self, world: World) -> None:
        """A caller's bound is that of the row that let it in."""
        callers: list[Caller] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            callers.append(scope["caller"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        guard = world.guard()
        policy = Policy(("GET", "/orders", signed_in.unsafely_accept_stale()))
        async with Wire(guard.asgi(app, policy), world.token(), kind="http") as wire:
            await wire.end()
        waiting = asyncio.create_task(callers[0].gone())
        await asyncio.sleep(0)
        world.now += 1000
        await asyncio.sleep(0.03)
        assert not waiting.done()
        world.wall_time += 303
        assert (await waiting).code == "token_expired"

    async def test_without_a_guard(self, world: World) -> None:
        """Nobody would hear of a revocation, and to wait all the same would look as if somebody did."""
        verifier = Verifier(world.issuer.issuer, "orders", world.key.public, clock=lambda: world.wall_time)
        with pytest.raises(RuntimeError, match="without a guard"):
            await verifier.verify(world.token()).gone()
        assert (await Decision("GET", "/").gone()).code == "guard_not_ready"

    async def test_fixed_keys(self, world: World) -> None:
        """Nothing is revoked there, but tokens end."""
        guard = Guard("https://auth.example", audience="orders", keys=world.key.public, clock=lambda: world.wall_time)
        waiting = asyncio.create_task(guard.verify(world.token(position=None)).gone())
        await asyncio.sleep(0)
        world.wall_time += 303
        assert (await waiting).code == "token_expired"


class TestLife:
    """Nothing of a loop outlives it, and nothing of a connection its end."""

    async def test_nothing_is_left(self, world: World) -> None:
        """No watch, no task and no timer; and no caller, once the app has none."""
        guard, kept = world.guard(), list[Caller]()
        before = asyncio.all_tasks()
        async with Wire(guard.asgi(renewing(kept), POLICY), world.token(token_id="t")) as closed:
            await closed.hear()
            closed.text(world.token(token_id="t-2"))
            await closed.hear()
            async with Wire(guard.asgi(renewing(kept), POLICY), world.token(subject="bob")) as left:
                await left.hear()
                (lookout,) = guard.lookouts._on.values()
                world.cut_off("token", "t-2", "token_revoked")
                await closed.end()
                left.say({"type": "websocket.disconnect"})
                await left.end()
        for caller in kept:  # whoever keeps it keeps no request
            connection = caller._shown.connection  # type: ignore[attr-defined]
            assert not hasattr(connection, "_line")
            assert not hasattr(connection, "_task")
        assert not lookout._watches
        assert not lookout._concerned
        assert not lookout._ending
        assert not lookout._bounds
        assert lookout._timer.cancelled()
        assert guard.lookouts._on == {}
        assert len(world.listeners) == 0
        assert asyncio.all_tasks() == before
        end = weakref.ref(lookout)
        del lookout, closed, left, caller, connection
        kept.clear()
        gc.collect()
        assert end() is None

    def test_several_loops(self, world: World) -> None:
        """Each thread's loop closes its own, for news that come from another thread."""
        guard = world.guard()
        ready, told = threading.Semaphore(0), list[str]()

        async def wait() -> None:
            waiting = asyncio.create_task(guard.verify(world.token()).gone())
            await asyncio.sleep(0)
            ready.release()
            told.append((await waiting).code)

        threads = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert ready.acquire(timeout=PATIENCE)
        assert len(guard.lookouts._on) == 4
        world.cut_off("user", "ada", "signed_out")
        for thread in threads:
            thread.join(PATIENCE)
        assert told == ["signed_out"] * 4
        assert guard.lookouts._on == {}

    @pytest.mark.parametrize("how", ["news", "another loop"])
    def test_a_loop_that_ends_in_the_middle(self, world: World, how: str) -> None:
        """It is forgotten with all that was watched there."""
        guard = world.guard()
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(guard.verify(world.token()).gone())
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert len(guard.lookouts._on) == 1

        async def cancelled(awaitable: Awaitable[object]) -> None:
            task = asyncio.ensure_future(awaitable)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

        if how == "news":
            world.cut_off("user", "ada", "signed_out")
        else:
            asyncio.run(cancelled(guard.verify(world.token(subject="bob")).gone()))
        assert guard.lookouts._on == {}
        assert len(world.listeners) == 0
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
    async def test_refused_messages(self, world: World) -> None:
        """Whatever an open connection refuses is let go with it: frames, and what they hold."""
        brought: list[weakref.ref[Message]] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            while await receive():
                message = Message()
                brought.append(weakref.ref(message))
                with contextlib.suppress(Refused):
                    _judge(scope["caller"], message)
                del message
                gc.collect()
                await send({"type": "websocket.send", "text": str([each() for each in brought])})

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            for number in range(1, 4):
                wire.text("delete")
                assert (await wire.hear())["text"] == str([None] * number)

    async def test_a_forked_child(self, world: World) -> None:
        """It has no part in its parent's connections."""
        guard = world.guard()
        waiting = asyncio.create_task(guard.verify(world.token()).gone())
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            os._exit(len(guard.lookouts._on))
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
        assert len(guard.lookouts._on) == 1
        waiting.cancel()
        await asyncio.wait({waiting})
