"""What keeps half an answer from passing for the whole, where other middleware stands around the wall."""

from typing import final

from watchword.guard.connections import Gone
from watchword.guard.exchange import ANSWERS, App, Exchange, Message, Receive, Scope, Send

__all__ = ["Breaker"]


@final
class Breaker:
    """The outermost middleware of an app whose wall is further in.

    Middleware in between may complete the answer of an app that has failed: Starlette's ``BaseHTTPMiddleware`` does.
    So an answer that the wall has broken off never gets its last piece here: `Gone` is raised, as by the wall itself.
    """

    def __init__(self, app: App) -> None:
        """``app`` has a wall inside."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on."""
        if scope.get("type") != "http":
            await self.app(scope, receive, send)
            return
        answers: list[Exchange] = []

        async def pass_on(message: Message) -> None:
            if answers and not message.get("more_body", False) and message["type"] == "http.response.body":
                _check(answers)
            await send(message)

        scope[ANSWERS] = answers
        await self.app(scope, receive, pass_on)
        _check(answers)  # or what becomes of it is the server's own choice


def _check(answers: list[Exchange]) -> None:
    if any(answer.broken for answer in answers):
        raise Gone("the answer is broken off: its caller stands no more")
