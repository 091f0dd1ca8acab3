"""The lookout goes on, whatever becomes of those that it looks out for."""

import asyncio

import pytest
from tests.guard.test_connections import POLICY, Echo, accepted
from tests.guard.wire import Wire
from tests.guard.world import World

from watchword import Guard, Key, Refused
from watchword.core.caller import Caller
from watchword.guard import lookout as lookout_module
from watchword.guard.decisions import Decision
from watchword.guard.lookout import Lookout


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks are looked at often."""
    monkeypatch.setattr(lookout_module, "TICK", 0.01)


def _lookout(guard: Guard) -> Lookout:
    (lookout,) = guard.lookouts._on.values()
    return lookout


async def test_who_waits_no_more_deafens_nobody(world: World) -> None:
    """A waiter that is cancelled in the very turn in which its caller ends is passed over."""
    guard = world.guard()
    caller: Caller = guard.verify(world.token())
    async with Wire(guard.asgi(Echo(), POLICY), world.token(subject="bob")) as wire:
        await accepted(wire)
        waiting = asyncio.create_task(caller.gone())
        await asyncio.sleep(0)
        world.cut_off("user", "ada", "signed_out")
        world.cut_off("user", "bob", "signed_out")
        waiting.cancel()
        _lookout(guard)._tick()
        assert (await wire.hear())["reason"] == "signed_out"


async def test_an_end_that_fails_is_its_own(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The others hear of theirs, and the clocks are looked at further on."""

    def fail(_: Refused) -> None:
        raise ZeroDivisionError

    guard = world.guard()
    decision = Decision("GET", "/", judge=guard)
    decision.shown = world.token(subject="cy")
    decision.facts = guard.verify(decision.shown)._facts
    async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
        await accepted(wire)
        guard.lookouts.watch(decision, fail)
        world.cut_off("everyone", "", "everything_expired")
        assert (await wire.hear())["reason"] == "everything_expired"
    assert "could not be told" in caplog.text


async def test_a_token_that_cannot_be_judged_stands_no_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours closes, and the next one is judged."""
    guard = world.guard()
    async with Wire(guard.asgi(Echo(), POLICY), world.token()) as ada:
        await accepted(ada)
        with monkeypatch.context() as patch:
            patch.setattr(Guard, "stands", lambda *_: 1 / 0)
            world.cut_off("user", "ada", "signed_out")
            assert (await ada.hear())["reason"] == "internal_error"


async def test_a_look_that_fails_is_followed_by_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would hear of an expiry any more."""
    guard = world.guard()
    async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
        await accepted(wire)
        with monkeypatch.context() as patch:
            patch.setattr(lookout_module.Lookout, "_look", lambda _: 1 / 0)
            _lookout(guard)._timer.cancel()
            with pytest.raises(ZeroDivisionError):
                _lookout(guard)._tick()
        world.wall_time += 303
        assert (await wire.hear())["reason"] == "token_expired"


class TestKeptOnStaleKnowledge:
    """Where only newer knowledge can decide, and need not be waited for."""

    async def test_until_its_end(self, world: World) -> None:
        """A token whose key nobody knows any more ends with its time all the same."""
        guard = world.guard(unsafely_keep_stale_connections=True)
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.key = Key.generate("ES256")
            world.learn()
            world.now += 1000
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"
            world.wall_time += 303
            assert (await wire.hear())["reason"] == "token_expired"

    async def test_who_has_left_is_forgotten(self, world: World) -> None:
        """What is undecided about it is never decided."""
        guard = world.guard(unsafely_keep_stale_connections=True)
        wall = guard.asgi(Echo(), POLICY)
        async with Wire(wall, world.token(subject="bob")) as stays:
            await accepted(stays)
            async with Wire(wall, world.token()) as leaves:
                await accepted(leaves)
                world.learn(epoch="e2")
                world.now += 1000
                _lookout(guard)._look()
                assert len(_lookout(guard)._undecided) == 2
            assert len(_lookout(guard)._undecided) == 1
            world.now -= 1000
            assert (await stays.hear())["reason"] == "former_epoch"
