"""Open connections: WebSockets and streams end when their caller's token does."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, StreamingResponse
from starlette.routing import Mount, Route
from tests.guard.wire import PATIENCE, Wire
from tests.guard.world import World, ask

from watchword import Caller, Guard, Policy, Refused, anyone, errors, role, signed_in
from watchword.frameworks.fastapi import need, protect
from watchword.guard import connections as connections_module
from watchword.guard import lookout as lookout_module
from watchword.guard.asgi import App, Receive, Scope, Send
from watchword.guard.connections import close_code
from watchword.guard.rules import Rule

POLICY = Policy(
    ("GET", "/open", anyone),
    ("GET", "/editors", role("editor")),
    ("GET", "/**", signed_in),
)
ACCEPT, CLOSE = {"type": "websocket.accept"}, {"type": "websocket.close"}
EVENTS = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/event-stream")]}
DOWNLOAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]}
PIECE = {"type": "http.response.body", "body": b"1", "more_body": True}
LAST = {"type": "http.response.body", "body": b"", "more_body": False}
DISABLED = {"type": "websocket.close", "code": 3000, "reason": "user_disabled"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apps that do not end are cancelled soon, and clocks are looked at often."""
    monkeypatch.setattr(connections_module, "GRACE", 0.02)
    monkeypatch.setattr(lookout_module, "TICK", 0.01)


class Echo:
    """An app that echoes on WebSockets, and keeps what it has received."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the client leaves."""
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "websocket.connect":
                await send(dict(ACCEPT))
            elif message["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            else:
                return


Act = Callable[[Scope, Receive, Send], Awaitable[None]]


def accepting(act: Act) -> App:
    """An app that accepts, and then does this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(dict(ACCEPT))
        await act(scope, receive, send)

    return app


def beginning(start: dict[str, Any], act: Act) -> App:
    """An app that sends the first piece of a stream, and then does this."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(start))
        await send(dict(PIECE))
        await act(scope, receive, send)

    return app


async def accepted(wire: Wire) -> None:
    """The handshake is over, and the app echoes."""
    assert (await wire.hear())["type"] == "websocket.accept"
    wire.text("hello")
    assert (await wire.hear())["text"] == "hello"


async def until(fact: Callable[[], bool]) -> None:
    """Let the loop go on until this is so."""
    async with asyncio.timeout(PATIENCE):
        while not fact():  # noqa: ASYNC110 - what others know, no event tells
            await asyncio.sleep(0)


class TestWebSockets:
    """What closes them, and how."""

    @pytest.mark.parametrize(
        ("scope", "id_", "reason", "code"),
        [
            ("user", "ada", "user_disabled", 3000),
            ("session", "s-1", "session_ended", 3000),
            ("client", "web", "client_revoked", 3000),
            ("token", "t-1", "token_revoked", 3000),
            ("everyone", "", "everything_expired", 3000),
            ("role", "editor", "roles_changed", 3003),
            ("user", "ada", "roles_changed", 3003),
        ],
    )
    async def test_a_cutoff_closes(self, world: World, scope: str, id_: str, reason: str, code: int) -> None:
        """The client is told why, the app that the client has left."""
        app = Echo()
        token = world.token(roles=["editor"], session="s-1", token_id="t-1")
        async with Wire(world.guard().asgi(app, POLICY), token) as wire:
            await accepted(wire)
            world.cut_off(scope, id_, reason)
            assert await wire.hear() == {"type": "websocket.close", "code": code, "reason": reason}
            assert await wire.end() == []
        assert app.received[-1] == {"type": "websocket.disconnect", "code": code, "reason": reason}

    async def test_others_stay(self, world: World) -> None:
        """A cutoff ends whom it concerns, and nobody else; nor what was let in with a later token."""
        guard = world.guard()
        wall = guard.asgi(Echo(), POLICY)
        tokens = [world.token(subject=name, session=f"s-{name}") for name in ("ada", "bob", "cy")]
        async with Wire(wall, tokens[0]) as ada, Wire(wall, tokens[1]) as bob, Wire(wall, tokens[2]) as cy:
            for wire in (ada, bob, cy):
                await accepted(wire)
            assert guard.status().connections == 3
            world.cut_off("user", "bob", "signed_out")
            assert (await bob.hear())["reason"] == "signed_out"
            async with Wire(wall, world.token(subject="bob")) as again:
                await accepted(again)
                world.cut_off("session", "s-cy", "session_ended")
                assert (await cy.hear())["reason"] == "session_ended"
                for wire in (ada, again):
                    wire.text("still here")
                    assert (await wire.hear())["text"] == "still here"
                assert guard.status().connections == 2
        assert guard.status().connections == 0

    async def test_in_the_middle_of_the_handshake(self, world: World) -> None:
        """Whom a cutoff concerns before the app has accepted is refused as at the wall."""
        begun = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            assert (await receive())["type"] == "websocket.connect"
            assert (await receive())["type"] == "websocket.disconnect"
            await send(dict(ACCEPT))

        async with Wire(world.guard().asgi(slow, POLICY), world.token()) as wire:
            await begun.wait()
            await asyncio.sleep(0)
            world.cut_off("user", "ada", "user_disabled")
            answer = await wire.hear()
            assert (answer["type"], answer["status"]) == ("websocket.http.response.start", 401)
            assert [message["type"] for message in await wire.end()] == ["websocket.http.response.body"]

    async def test_in_the_middle_of_the_decision(self, world: World) -> None:
        """What was heard after the token was judged and before the connection was watched counts too."""

        class Cutting(Rule):
            """Cuts the caller off, and lets it in."""

            def missing(self, caller: Caller) -> tuple[str, ...]:
                world.cut_off("user", "ada", "user_disabled")
                return ()

        guard = world.guard()
        app = Echo()
        async with Wire(guard.asgi(app, Policy(("GET", "/orders", Cutting()))), world.token()) as wire:
            assert (await wire.hear())["status"] == 401
            await wire.end()
        assert (app.received, guard.status().connections) == ([], 0)

    async def test_messages_of_one_who_is_gone(self, world: World) -> None:
        """What a client has sent before the end, and the app has not taken yet, is never taken."""
        taken: list[Any] = []
        go_on = asyncio.Event()

        async def late(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            taken.append(await receive())

        async with Wire(world.guard().asgi(accepting(late), POLICY), world.token()) as wire:
            await wire.hear()
            wire.text("transfer everything")
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == DISABLED
            go_on.set()
            await wire.end()
        assert [message["type"] for message in taken] == ["websocket.disconnect"]

    async def test_an_app_that_only_sends(self, world: World) -> None:
        """Nothing of it reaches the client any more, and it is told; the server hears of no error."""
        ended = asyncio.Event()

        async def ticker(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                while True:
                    await send({"type": "websocket.send", "text": "tick"})
                    await asyncio.sleep(0.001)
            finally:
                ended.set()

        async with Wire(world.guard().asgi(accepting(ticker), POLICY), world.token()) as wire:
            await wire.hear()
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            while (message := await wire.hear())["type"] == "websocket.send":
                pass
            assert message == DISABLED
            assert await wire.end() == []
            assert ended.is_set()
            assert wire.task.cancelling() == 0

    @pytest.mark.parametrize("kind", ["websocket", "http"])
    async def test_an_app_that_minds_no_end(self, world: World, kind: str) -> None:
        """Whatever it goes on to do in a tight loop, others have their turn, and it is cancelled in the end."""
        turns: list[str] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            piece = PIECE if kind == "http" else {"type": "websocket.send", "text": "tick"}
            while (await receive())["type"] != f"{kind}.disconnect":
                pass
            loop = asyncio.get_running_loop()
            loop.call_soon(turns.append, "sending")
            with pytest.raises(OSError, match="stands no more"):
                await send(dict(piece))
            turns.append("sent")
            loop.call_soon(turns.append, "receiving")
            await receive()
            turns.append("received")
            while True:
                with contextlib.suppress(OSError):
                    await send(dict(piece))

        app = beginning(EVENTS, act) if kind == "http" else accepting(act)
        async with Wire(world.guard().asgi(app, POLICY), world.token(), kind=kind) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            await wire.end()
        assert turns == ["sending", "sent", "receiving", "received"]

    @pytest.mark.parametrize("kind", ["websocket", "http"])
    async def test_an_app_that_never_waits(self, world: World, kind: str) -> None:
        """The end comes through, although its server takes all it sends at once."""
        told = asyncio.Event()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            asyncio.get_running_loop().call_soon(world.cut_off, "user", "ada", "user_disabled")
            try:
                for _ in range(100_000):
                    await send(dict(PIECE if kind == "http" else {"type": "websocket.send", "text": "tick"}))
            except OSError:
                told.set()

        app = beginning(EVENTS, act) if kind == "http" else accepting(act)
        async with Wire(world.guard().asgi(app, POLICY), world.token(), kind=kind) as wire:
            await wire.end()
        assert told.is_set()

    async def test_an_app_that_will_not_be_cancelled(self, world: World) -> None:
        """What it makes of the cancellation is its own: to return is fine, and an error is an error."""

        async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if scope["caller"].subject == "bob":
                    raise KeyError("a bug") from None

        wall = world.guard().asgi(accepting(stubborn), POLICY)
        tokens = world.token(), world.token(subject="bob")
        async with Wire(wall, tokens[0]) as ada, Wire(wall, tokens[1]) as bob:
            await ada.hear()
            await bob.hear()
            world.cut_off("everyone", "", "everything_expired")
            await ada.end()
            assert ada.task.cancelling() == 0
            with pytest.raises(KeyError):
                await bob.end()

    async def test_a_cancellation_by_others(self, world: World) -> None:
        """It stays theirs, although ours comes at the same time."""

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()  # as a server does that shuts down

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            with pytest.raises(asyncio.CancelledError):
                await wire.end()
            assert wire.task.cancelled()

    async def test_a_cancellation_while_receiving(self, world: World) -> None:
        """A reader that is cancelled by others is, whether its connection ends at the same time or not."""
        seen: list[Any] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await receive()
            seen.append("timeout")
            reader: asyncio.Task[Any] = asyncio.create_task(receive())  # type: ignore[arg-type]
            await asyncio.sleep(0)
            world.cut_off("user", "ada", "user_disabled")
            await until(lambda: reader.cancelling() > 0)
            reader.cancel()
            seen.append(await asyncio.gather(reader, return_exceptions=True))

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            await wire.end()
        assert seen[0] == "timeout"
        assert isinstance(seen[1][0], asyncio.CancelledError)

    async def test_several_readers(self, world: World) -> None:
        """Whoever of an app's tasks waits for the client hears of it, and whoever asks later."""
        heard: list[str] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            async def read() -> None:
                heard.append((await receive())["type"])

            async with asyncio.TaskGroup() as group:
                group.create_task(read())
                group.create_task(read())
            await read()

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            await wire.end()
        assert heard == ["websocket.disconnect"] * 3

    async def test_a_client_that_does_not_read(self, world: World) -> None:
        """The app ends all the same, although the server cannot say so to the client."""
        guard = world.guard()
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            wire.sendable.clear()
            wire.text("x")
            await asyncio.sleep(0)
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.end() == []
        assert guard.status().connections == 0

    async def test_a_server_that_has_lost_it(self, world: World) -> None:
        """A connection that cannot be closed any more is over."""

        async def broken(message: Any) -> None:
            if message["type"] == "websocket.close":
                raise RuntimeError("it is closed already")

        app = Echo()
        messages = [{"type": "websocket.connect"}]

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        scope = {
            "type": "websocket",
            "path": "/orders",
            "headers": [(b"authorization", b"Bearer " + world.token().encode())],
        }
        task = asyncio.ensure_future(world.guard().asgi(app, POLICY)(scope, receive, broken))
        await until(lambda: len(app.received) == 1)
        await asyncio.sleep(0)
        world.cut_off("user", "ada", "user_disabled")
        await asyncio.wait_for(task, PATIENCE)
        assert app.received[-1]["type"] == "websocket.disconnect"

    async def test_a_bug_after_the_end(self, world: World) -> None:
        """It is a bug as before."""

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            raise ValueError("a bug")

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            with pytest.raises(ValueError, match="a bug"):
                await wire.end()

    async def test_a_bug_that_is_its_own_cause(self, world: World) -> None:
        """It is looked through once, also in a group, and is a bug as before."""

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            error = ValueError("a bug")
            if scope["caller"].subject == "ada":
                raise error from error
            group = ExceptionGroup("bugs", [error])
            error.__cause__ = group
            raise group

        wall = world.guard().asgi(accepting(act), POLICY)
        async with Wire(wall, world.token()) as ada, Wire(wall, world.token(subject="bob")) as bob:
            await ada.hear()
            await bob.hear()
            world.cut_off("everyone", "", "everything_expired")
            with pytest.raises(ValueError, match="a bug"):
                await ada.end()
            with pytest.raises(ExceptionGroup):
                await bob.end()

    async def test_an_end_that_comes_too_late(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Where it is over, or has ended, nothing happens: whoever is told of many may be told late."""
        caplog.set_level(logging.INFO, "watchword.decisions")
        kept: list[Any] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            kept.append(scope["caller"]._shown.connection)
            await receive()

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            await until(lambda: kept != [])
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == DISABLED
            kept[0].end(errors.Expired())
            assert await wire.end() == []
            kept[0].end(errors.Expired())
        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token(subject="bob")) as wire:
            await wire.hear()
            wire.text("go")
            await wire.end()
            kept[1].end(errors.Expired())
            assert kept[1].ended is None
            assert wire.rest() == []
        assert [vars(record)["code"] for record in caplog.records] == ["allowed", "user_disabled", "allowed"]

    async def test_nothing_is_closed_twice(self, world: World) -> None:
        """What the app or the client has ended is not watched any more, and no second close is sent."""
        guard = world.guard()
        go_on = asyncio.Event()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await send(dict(CLOSE))
            await go_on.wait()

        async with Wire(guard.asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            assert await wire.hear() == CLOSE
            assert guard.status().connections == 0
            world.cut_off("user", "ada", "user_disabled")
            go_on.set()
            assert await wire.end() == []

    async def test_an_app_that_raises_a_refusal_meanwhile(self, world: World) -> None:
        """The connection is closed once, for the first reason."""

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            raise errors.NotFound("nothing")

        async with Wire(world.guard().asgi(accepting(act), POLICY), world.token()) as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == DISABLED
            assert await wire.end() == []

    async def test_rows_for_anyone(self, world: World) -> None:
        """They have no caller, and no end."""
        guard = world.guard()
        async with Wire(guard.asgi(Echo(), POLICY), world.token(), "/open") as wire:
            await accepted(wire)
            assert guard.status().connections == 0
            world.cut_off("everyone", "", "everything_expired")
            world.now += 1000
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"

    @pytest.mark.parametrize(
        ("refusal", "code"),
        [
            (errors.NotPermitted(missing=[]), 3003),
            (errors.RolesChanged(), 3003),
            (errors.Expired(), 3000),
            (errors.Stale(), 1013),
            (errors.NotFound(), 1008),
        ],
    )
    def test_close_codes(self, refusal: Refused, code: int) -> None:
        """By what a client can do about it."""
        assert close_code(refusal) == code

    async def test_many(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Everyone is closed, slice by slice, although no timer comes."""
        monkeypatch.setattr(lookout_module, "TICK", 10 * PATIENCE)
        guard = world.guard()
        wall = guard.asgi(Echo(), POLICY)
        async with contextlib.AsyncExitStack() as stack:
            made = [Wire(wall, world.token(subject=f"u{number}")) for number in range(200)]
            wires = [await stack.enter_async_context(wire) for wire in made]
            for wire in wires:
                await accepted(wire)
            world.cut_off("everyone", "", "everything_expired")
            for wire in wires:
                assert (await wire.hear())["reason"] == "everything_expired"
                await wire.end()
        assert guard.status().connections == 0

    def test_elsewhere_than_on_asyncio(self, world: World) -> None:
        """Nobody could end it there, so that it is not begun; an ordinary answer is."""
        wall = world.guard().asgi(Echo(), POLICY)
        headers = [(b"authorization", b"Bearer " + world.token().encode())]

        async def receive() -> Any:
            return {"type": "http.request"}

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        def run(app: App, kind: str) -> None:
            coroutine: Any = app({"type": kind, "method": "GET", "path": "/orders", "headers": headers}, receive, send)
            with pytest.raises(StopIteration):
                coroutine.send(None)

        with pytest.raises(RuntimeError, match="asyncio"):
            run(wall, "websocket")

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(dict(DOWNLOAD))
            await send(PIECE | {"more_body": scope["path"] != "/orders"})

        run(world.guard().asgi(answer, POLICY), "http")
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


class TestStreams:
    """Answers that come in pieces."""

    @pytest.mark.parametrize(("start", "ending"), [(EVENTS, [LAST]), (DOWNLOAD, [])])
    async def test_a_cutoff_ends(self, world: World, start: dict[str, Any], ending: list[Any]) -> None:
        """Events end as if there were no more; anything else never becomes whole."""
        seen: list[Any] = []

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(await receive())  # the request's body
            seen.append(await receive())
            with pytest.raises(OSError, match="stands no more"):
                await send(dict(PIECE))
            seen.append("told")

        guard = world.guard()
        async with Wire(guard.asgi(beginning(start, act), POLICY), world.token(), kind="http") as wire:
            assert [await wire.hear(), await wire.hear()] == [start, PIECE]
            assert guard.status().connections == 1
            world.cut_off("user", "ada", "user_disabled")
            if ending:
                assert await wire.end() == ending
            else:
                with pytest.raises(OSError, match="broken off"):
                    await wire.end()
                assert wire.rest() == []
        assert [part if part == "told" else part["type"] for part in seen] == [
            "http.request",
            "http.disconnect",
            "told",
        ]
        assert guard.status().connections == 0

    async def test_gone_before_the_first_piece(self, world: World) -> None:
        """Whoever stands no more when a stream begins gets none of it."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            world.cut_off("user", scope["caller"].subject, "user_disabled")
            await send(dict(EVENTS if scope["caller"].subject == "ada" else DOWNLOAD))
            await send(dict(PIECE))

        wall = world.guard().asgi(app, POLICY)
        async with Wire(wall, world.token(), kind="http") as wire:
            assert await wire.end() == [EVENTS, LAST]
        async with Wire(wall, world.token(subject="bob"), kind="http") as wire:
            with pytest.raises(OSError, match="broken off"):
                await wire.end()
            assert wire.rest() == [DOWNLOAD]

    @pytest.mark.parametrize("value", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
    async def test_events_that_are_long_in_coming(self, world: World, value: bytes) -> None:
        """Such a stream is open from its headers on, wherever those are read from."""
        start = {"type": "http.response.start", "status": 200}
        headers = [(b"Content-Type", value)]

        async def silent(scope: Scope, receive: Receive, send: Send) -> None:
            await send({**start, "headers": iter(headers)})
            while (await receive())["type"] != "http.disconnect":
                pass

        guard = world.guard()
        async with Wire(guard.asgi(silent, POLICY), world.token(), kind="http") as wire:
            assert (await wire.hear()) == start | {"headers": headers}
            assert guard.status().connections == 1
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == LAST
            await wire.end()
        assert guard.status().connections == 0

    @pytest.mark.parametrize("subject", ["ada", "bob"])
    async def test_what_comes_before_the_answer(self, world: World, subject: str) -> None:
        """An early hint is no answer yet: a refusal, or a stream, still begins after it."""
        hint = {"type": "http.response.early_hint", "links": []}
        guard = world.guard()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(dict(hint))
            assert guard.status().connections == 0
            if subject == "bob":
                raise errors.NotFound("nothing")
            await send(dict(EVENTS))
            assert guard.status().connections == 1
            await send(dict(PIECE))
            await send(dict(LAST))

        async with Wire(guard.asgi(app, POLICY), world.token(subject=subject), kind="http") as wire:
            assert await wire.hear() == hint
            if subject == "bob":
                assert (await wire.hear())["status"] == 404
                await wire.end()
            else:
                assert await wire.end() == [EVENTS, PIECE, LAST]

    async def test_a_handler_that_has_not_begun_to_answer(self, world: World) -> None:
        """It is not broken off, nor counted: what it does may be done."""
        go_on = asyncio.Event()
        guard = world.guard()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on.wait()
            await send(dict(DOWNLOAD))
            await send(dict(LAST))

        async with Wire(guard.asgi(app, POLICY), world.token(), kind="http") as wire:
            await asyncio.sleep(0)
            assert guard.status().connections == 0
            world.cut_off("user", "ada", "user_disabled")
            go_on.set()
            assert await wire.end() == [DOWNLOAD, LAST]

    async def test_an_answer_that_is_whole(self, world: World) -> None:
        """It is over for us, whatever the app still does."""
        guard = world.guard()
        go_on = asyncio.Event()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await send(dict(LAST))
            await go_on.wait()

        async with Wire(guard.asgi(beginning(EVENTS, act), POLICY), world.token(), kind="http") as wire:
            assert [await wire.hear() for _ in range(3)] == [EVENTS, PIECE, LAST]
            assert guard.status().connections == 0
            world.cut_off("user", "ada", "user_disabled")
            go_on.set()
            assert await wire.end() == []

    async def test_a_piece_that_is_on_its_way(self, world: World) -> None:
        """An app that waits for a slow client, and a server that then refuses the piece: the stream is gone."""
        told, waiting, free = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            with pytest.raises(OSError, match="stands no more"):
                await send({"type": "http.response.body", "body": b"bad", "more_body": True})
            told.set()

        class Refusing(Wire):
            """A server that takes nothing after the last piece."""

            async def _send(self, message: Any) -> None:
                if message.get("body") == b"bad":
                    waiting.set()
                    await free.wait()
                    raise RuntimeError("the answer is whole already")
                await super()._send(message)

        async with Refusing(world.guard().asgi(beginning(EVENTS, act), POLICY), world.token(), kind="http") as wire:
            assert [await wire.hear(), await wire.hear()] == [EVENTS, PIECE]
            await waiting.wait()
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == LAST
            free.set()
            await wire.end()
            assert told.is_set()

    async def test_errors_that_come_of_it(self, world: World) -> None:
        """What frameworks make of a client that is gone is no error of the app; what the app adds by itself is."""

        async def failing(scope: Scope, receive: Receive, send: Send) -> None:
            while True:
                await asyncio.sleep(0)
                try:
                    await send(dict(PIECE))
                except OSError as gone:
                    if scope["caller"].subject == "ada":
                        raise ClientDisconnect  # noqa: B904 - as Starlette does it
                    if scope["caller"].subject == "bob":
                        raise ExceptionGroup("of a task group", [gone]) from None
                    if scope["caller"].subject == "cy":
                        raise ExceptionGroup("of a task group", [gone, KeyError("a bug")]) from None
                    raise KeyError("a bug") from None

        wall = world.guard().asgi(beginning(EVENTS, failing), POLICY)
        async with contextlib.AsyncExitStack() as stack:
            wires = []
            for name in ("ada", "bob", "cy", "di"):
                wires.append(await stack.enter_async_context(Wire(wall, world.token(subject=name), kind="http")))
                await wires[-1].hear()
            world.cut_off("everyone", "", "everything_expired")
            for wire, error in zip(wires, (None, None, ExceptionGroup, KeyError), strict=True):
                with contextlib.nullcontext() if error is None else pytest.raises(error):
                    await wire.end()

    async def test_a_cancellation_by_others_after_the_end(self, world: World) -> None:
        """It stays theirs, whatever the app was doing about its stream."""
        told = asyncio.Event()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await receive()
            try:
                await send(dict(PIECE))
            except OSError:
                told.set()
                await asyncio.Event().wait()

        async with Wire(world.guard().asgi(beginning(EVENTS, act), POLICY), world.token(), kind="http") as wire:
            await wire.hear()
            world.cut_off("user", "ada", "user_disabled")
            await told.wait()
            wire.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await wire.end()

    async def test_files_that_the_server_would_send_by_itself(self, world: World, tmp_path: Path) -> None:
        """An app is not offered that for a caller: a file comes in pieces, and is broken off. Others get it as ever."""
        file = tmp_path / "export.csv"
        file.write_bytes(bytes(30_000_000))
        seen: list[Any] = []
        offered = {"http.response.pathsend": {}, "http.response.zerocopysend": {}, "tls": {"version": 772}}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["extensions"])
            await FileResponse(file)(scope, receive, send)

        def extended(wall: App) -> App:
            async def server(scope: Scope, receive: Receive, send: Send) -> None:
                await wall({**scope, "extensions": offered}, receive, send)

            return server

        wall = extended(world.guard().asgi(app, POLICY))
        async with Wire(wall, world.token(), kind="http") as wire:
            await wire.hear()
            assert (await wire.hear())["more_body"]
            world.cut_off("user", "ada", "user_disabled")
            with pytest.raises(OSError, match="broken off"):
                await wire.end()
        async with Wire(wall, None, "/open", kind="http") as wire:
            assert [message["type"] for message in await wire.end()][1:] == ["http.response.pathsend"]
        assert seen == [{"tls": {"version": 772}}, offered]

    async def test_no_caller(self, world: World) -> None:
        """A stream that is open to anyone goes on."""
        guard = world.guard()

        async def act(scope: Scope, receive: Receive, send: Send) -> None:
            assert guard.status().connections == 0
            await send(dict(LAST))

        answered = await ask(guard.asgi(beginning(EVENTS, act), POLICY), "/open")
        assert answered.sent == [EVENTS, PIECE, LAST]


class TestFrameworks:
    """The wall is beneath them all."""

    async def test_starlette_streams(self, world: World) -> None:
        """A mounted app's stream of events that waits for something to tell ends at once."""
        ended = asyncio.Event()

        async def events() -> AsyncIterator[str]:
            try:
                yield "data: 1\n\n"
                await asyncio.Event().wait()
            finally:
                ended.set()

        def handler(request: Request) -> StreamingResponse:
            return StreamingResponse(events(), media_type="text/event-stream")

        inner = Starlette(routes=[Route("/events", handler)])
        app = Starlette(routes=[Mount("/inner", inner)])
        async with Wire(world.guard().asgi(app, POLICY), world.token(), "/inner/events", kind="http") as wire:
            await wire.hear()
            assert (await wire.hear())["body"] == b"data: 1\n\n"
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == LAST
            assert await wire.end() == []
            assert ended.is_set()

    @pytest.mark.parametrize("media_type", ["text/event-stream", "text/csv"])
    async def test_middleware_with_tasks_of_its_own(self, world: World, media_type: str) -> None:
        """The wall runs in another task than the server's: events end, and of what is broken off the server hears."""
        app = FastAPI()
        protect(app, world.guard())

        @app.middleware("http")
        async def around(request: Request, call_next: Any) -> Any:
            return await call_next(request)

        @app.get("/stream")
        async def stream() -> StreamingResponse:
            async def pieces() -> AsyncIterator[str]:
                yield "1"
                await asyncio.Event().wait()

            return StreamingResponse(pieces(), media_type=media_type)

        async with Wire(app, world.token(), "/stream", kind="http") as wire:
            await wire.hear()
            assert (await wire.hear())["body"] == b"1"
            world.cut_off("user", "ada", "user_disabled")
            if media_type == "text/event-stream":
                assert await wire.end() == [LAST]
            else:
                with pytest.raises(OSError, match="broken off"):
                    await wire.end()
                assert wire.rest() == []

    async def test_middleware_that_swallows_the_end(self, world: World) -> None:
        """Whatever it makes of an error, the server hears of it; of another answer's, as ever."""

        class Calm:
            """Lets no error out."""

            def __init__(self, app: App) -> None:
                self.app = app

            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                with contextlib.suppress(OSError):
                    await self.app(scope, receive, send)

        app = FastAPI()
        protect(app, world.guard())
        app.add_middleware(Calm)

        @app.get("/stream")
        async def stream() -> StreamingResponse:
            async def pieces() -> AsyncIterator[str]:
                yield "1"
                await asyncio.Event().wait()

            return StreamingResponse(pieces(), media_type="text/csv")

        async with Wire(app, world.token(), "/stream", kind="http") as wire:
            await wire.hear()
            assert (await wire.hear())["body"] == b"1"
            world.cut_off("user", "ada", "user_disabled")
            with pytest.raises(OSError, match="broken off"):
                await wire.end()

    async def test_fastapi(self, world: World) -> None:
        """A WebSocket whose role is asked for by its handler."""
        guard = world.guard()
        app = FastAPI()
        protect(app, guard)

        @app.websocket("/ws")
        async def echo(socket: WebSocket, caller: Annotated[Caller, need(role("editor"))]) -> None:
            await socket.accept()
            async for text in socket.iter_text():
                if text == "renew":
                    caller = caller.renew(world.token(roles=["reader"]))
                await socket.send_text(text)

        async with Wire(app, world.token(roles=["reader"]), "/ws") as wire:
            assert (await wire.hear())["status"] == 403
        async with Wire(app, world.token(roles=["editor"]), "/ws") as wire:
            await accepted(wire)
            world.cut_off("role", "editor", "roles_changed")
            assert await wire.hear() == {"type": "websocket.close", "code": 3003, "reason": "roles_changed"}
            await wire.end()
        async with Wire(app, world.token(roles=["editor"]), "/ws") as wire:
            await accepted(wire)
            wire.text("renew")
            assert await wire.hear() == {"type": "websocket.close", "code": 3003, "reason": "not_permitted"}


class TestTime:
    """Expiry and staleness."""

    async def test_expiry(self, world: World) -> None:
        """A connection ends with its token, the leeway for clocks included, and no earlier."""
        async with Wire(world.guard().asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.wall_time += 301.9
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"
            world.wall_time += 0.2
            assert await wire.hear() == {"type": "websocket.close", "code": 3000, "reason": "token_expired"}

    async def test_a_clock_that_is_set_back(self, world: World) -> None:
        """What counts is the clock at the time of the look."""
        guard = world.guard()
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.wall_time -= 1
            world.wall_time += 302
            async with Wire(guard.asgi(Echo(), POLICY), world.token(subject="bob")) as later:
                await accepted(later)
                world.wall_time += 1
                assert (await wire.hear())["reason"] == "token_expired"
                later.text("still here")
                assert (await later.hear())["text"] == "still here"

    async def test_staleness(self, world: World) -> None:
        """When what is known is too old, nobody stays connected whom it could not be told of."""
        guard = world.guard()
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.now += 30
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"
            world.now += 0.1
            assert await wire.hear() == {"type": "websocket.close", "code": 1013, "reason": "guard_stale"}
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            assert (await wire.hear())["status"] == 503

    async def test_bounds_of_rows(self, world: World) -> None:
        """Each connection has the bound of its own row."""
        policy = Policy(
            ("GET", "/soon", signed_in.within(timedelta(seconds=5))),
            ("GET", "/late", signed_in.within(timedelta(minutes=5))),
            ("GET", "/ever", signed_in.unsafely_accept_stale()),
            ("GET", "/orders", signed_in),
        )
        wall = world.guard().asgi(Echo(), policy)
        async with contextlib.AsyncExitStack() as stack:
            wires = {
                path: await stack.enter_async_context(Wire(wall, world.token(lifetime=timedelta(hours=1)), path))
                for path in ("/soon", "/orders", "/late", "/ever")
            }
            for wire in wires.values():
                await accepted(wire)
            for path, age in (("/soon", 5), ("/orders", 30), ("/late", 300)):
                world.now = 1000 + age + 0.1
                assert (await wires[path].hear())["reason"] == "guard_stale"
            world.now += 100_000
            wires["/ever"].text("still here")
            assert (await wires["/ever"].hear())["text"] == "still here"
            world.cut_off("user", "ada", "signed_out")
            assert (await wires["/ever"].hear())["reason"] == "signed_out"

    async def test_kept_on_stale_knowledge(self, world: World) -> None:
        """Under an ugly name connections stay, and still end with their tokens, and with whatever becomes known."""
        guard = world.guard(unsafely_keep_stale_connections=True)
        wall = guard.asgi(Echo(), POLICY)
        async with Wire(wall, world.token()) as ada, Wire(wall, world.token(subject="bob")) as bob:
            await accepted(ada)
            await accepted(bob)
            world.now += 1000
            bob.text("still here")
            assert (await bob.hear())["text"] == "still here"
            async with Wire(wall, world.token(subject="cy")) as late:
                assert (await late.hear())["status"] == 503
            world.cut_off("user", "bob", "signed_out")
            assert (await bob.hear())["reason"] == "signed_out"
            world.wall_time += 303
            assert (await ada.hear())["reason"] == "token_expired"

    async def test_undecided_on_stale_knowledge(self, world: World) -> None:
        """A key that is missing in stale knowledge is no verdict, until that is fresh."""
        guard = world.guard(unsafely_keep_stale_connections=True)
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.learn(epoch="e2")
            world.now += 1000
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"
            world.now -= 1000
            assert (await wire.hear())["reason"] == "former_epoch"


class TestNews:
    """What is looked at when something else is known."""

    async def test_a_withdrawn_key(self, world: World) -> None:
        """It takes every connection with it that a token of it has opened."""
        async with Wire(world.guard().asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.learn(withdrawn=(world.key.kid,))
            assert await wire.hear() == {"type": "websocket.close", "code": 3000, "reason": "key_withdrawn"}

    async def test_a_key_set_that_keeps_the_key(self, world: World) -> None:
        """A snapshot, or a key beside it, ends nothing."""
        async with Wire(world.guard().asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.learn(withdrawn=("another",))
            await asyncio.sleep(0)
            wire.text("still here")
            assert (await wire.hear())["text"] == "still here"

    async def test_another_epoch(self, world: World) -> None:
        """All tokens of the former one are dead."""
        async with Wire(world.guard().asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.learn(epoch="e2")
            assert (await wire.hear())["reason"] == "former_epoch"

    async def test_another_epoch_with_the_same_keys(self, world: World) -> None:
        """It is found by itself, whatever a source makes of its keys."""
        async with Wire(world.guard().asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.recover("e2")
            assert (await wire.hear())["reason"] == "former_epoch"

    async def test_a_floor(self, world: World) -> None:
        """Whoever is below a raised floor goes, whoever is not stays."""
        guard = world.guard()
        wall = guard.asgi(Echo(), POLICY)
        async with Wire(wall, world.token()) as old:
            await accepted(old)
            world.cut_off("user", "somebody", "signed_out")
            async with Wire(wall, world.token(subject="bob")) as young:
                await accepted(young)
                assert world.known is not None
                world.raise_floor(1)
                assert (await old.hear())["reason"] == "below_floor"
                world.cut_off("user", "another", "signed_out")
                world.raise_floor(1)
                young.text("still here")
                assert (await young.hear())["text"] == "still here"

    async def test_whom_news_do_not_concern(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody is judged for a cutoff of others, or one from before the token."""
        guard = world.guard()
        world.cut_off("user", "ada", "signed_out")
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            judged: list[str] = []
            monkeypatch.setattr(guard, "stands", lambda token, _: judged.append(token))
            for number in range(1000):
                world.cut_off("user", f"u{number}", "user_disabled")
                world.cut_off("session", "ada", "session_ended")
            wire.text("looked")
            assert (await wire.hear())["text"] == "looked"
            assert judged == []

    async def test_a_source_that_does_not_announce(self, world: World) -> None:
        """Its news are noticed by and by."""

        class Silent:
            """All of the world but its voice."""

            def __getattr__(self, name: str) -> Any:
                if name == "listeners":
                    raise AttributeError
                return getattr(world, name)

        guard = Guard("https://auth.example", audience="orders", source=Silent(), clock=lambda: world.wall_time)
        async with Wire(guard.asgi(Echo(), POLICY), world.token()) as wire:
            await accepted(wire)
            world.cut_off("user", "ada", "user_disabled")
            assert await wire.hear() == DISABLED


async def test_the_audit_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One line for each connection that is closed names whose it was, and why; a WARNING where we know too little."""
    caplog.set_level(logging.INFO, "watchword.decisions")
    guard = world.guard()
    wall = guard.asgi(Echo(), POLICY)
    async with Wire(wall, world.token(session="s-1")) as ada, Wire(wall, world.token(subject="bob")) as bob:
        await accepted(ada)
        await accepted(bob)
        world.cut_off("session", "s-1", "session_ended")
        await ada.end()
        world.now += 31
        await bob.end()
    opened, _, closed, stale = (vars(record) for record in caplog.records)
    assert closed.items() >= {"verdict": "closed", "code": "session_ended", "subject": "ada", "session": "s-1"}.items()
    assert closed["decision"] == opened["decision"]
    assert closed["rule"] == "signed in"
    assert caplog.messages[2].startswith("closed session_ended GET /orders subject='ada' client='web' session='s-1'")
    assert (closed["levelno"], stale["levelno"]) == (logging.INFO, logging.WARNING)
    assert (stale["verdict"], stale["code"], stale["subject"]) == ("closed", "guard_stale", "bob")
