"""The router: who answers a request, and with what parameters."""

from typing import Any

import pytest

from watchword.authority.answers import answer
from watchword.authority.router import Parameters, Responder, Router
from watchword.guard.challenge import Answer
from watchword.guard.exchange import Message, Receive, Scope

pytestmark = pytest.mark.anyio


def named(name: str) -> Responder:
    """Answers with its name and the parameters that it was given."""

    async def respond(_: Scope, __: Receive, parameters: Parameters) -> Answer:
        return answer({"name": name, **parameters}, 200)

    return respond


async def asked(method: str, path: str, **scope: Any) -> tuple[int, bytes]:
    """What a router of a few rows answers."""
    router = Router(
        [
            ("GET", "/users", named("list")),
            ("GET", "/users/{user}", named("show")),
            ("POST", "/users", named("add")),
            ("PUT", "/users/{user}/roles/{role}", named("give")),
        ]
    )
    sent = await _sent(router, {"type": "http", "method": method, "path": path, **scope})
    return sent[0]["status"], sent[1]["body"]


async def _sent(router: Router, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a router reads nothing")

    async def send(message: Message) -> None:
        sent.append(message)

    await router(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/users", b'{"name":"list"}'),
        ("POST", "/users", b'{"name":"add"}'),
        ("GET", "/users/ada", b'{"name":"show","user":"ada"}'),
        ("HEAD", "/users/ada", b'{"name":"show","user":"ada"}'),
        ("PUT", "/users/ada/roles/editor", b'{"name":"give","user":"ada","role":"editor"}'),
    ],
)
async def test_method_and_path_say_who_answers(method: str, path: str, body: bytes) -> None:
    """Each row is found, with what its path names; HEAD is answered as GET, and the server leaves out the body."""
    assert await asked(method, path) == (200, body)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/users"), ("GET", "/users/"), ("GET", "/users/ada/"), ("GET", "/users/ada/roles"), ("GET", "/user")],
)
async def test_nothing_is_guessed(method: str, path: str) -> None:
    """A slash too many, or another method, is another route: there is none, and the answer has the one shape."""
    status, body = await asked(method, path)
    assert status == 404
    assert b'"code":"not_found"' in body


async def test_a_root_path_is_taken_off() -> None:
    """The router sees the path that the wall has judged."""
    assert await asked("GET", "/auth/users", root_path="/auth") == (200, b'{"name":"list"}')


async def test_a_websocket_is_closed() -> None:
    """Nobody here speaks it."""
    scope = {"type": "websocket", "path": "/users"}
    assert await _sent(Router([("GET", "/users", named("list"))]), scope) == [{"type": "websocket.close"}]


async def test_there_is_no_lifespan() -> None:
    """A server that offers one hears so by an exception, as ASGI has it."""
    with pytest.raises(NotImplementedError):
        await _sent(Router([]), {"type": "lifespan"})
