"""One request and its answer on their way through the wall, and the connection that they may hold open."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import msgspec

from watchword.errors import Refused
from watchword.guard.challenge import answer
from watchword.guard.connections import Connection, Decide, Gone, close_code
from watchword.guard.decisions import Decision

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

ANSWERS: Final = "watchword.answers"
"""Where in the scope a breaker around the wall has its list of what the wall holds open."""

_TURN: Final = 32  # messages after which others have their turn; each turn costs a round of the loop
_EVENTS: Final = b"text/event-stream"


class Exchange(msgspec.Struct):
    """A request and its answer: the app's, or a refusal.

    ``known`` is whether there is a caller, and so an end to what may be held open; ``task`` runs the app then.
    """

    decision: Decision
    realm: str
    scope: Scope
    receive: Receive
    send: Send
    websocket: bool
    decide: Decide
    known: bool = False
    task: asyncio.Task[Any] | None = None
    connection: Connection | None = None
    readers: list[asyncio.Task[Any]] = []  # tasks of the app that wait for the client
    of_events: bool = False  # the app's answer is a stream of events
    sent: int = 0  # messages to what is held open
    begun: bool = False  # the app's answer, or the WebSocket, has begun
    replaced: bool = False  # the app's answer gives way to a refusal
    closed: bool = False  # the app has closed the WebSocket or answered its handshake otherwise, or its answer is whole

    def begin(self) -> None:
        """There is a caller, who is let in; `Refused` if a WebSocket's stands no more by now."""
        self.known = True
        try:  # each request comes by here, and `contextlib.suppress` would cost a tenth of the wall
            self.task = asyncio.current_task()
        except RuntimeError:
            self.task = None  # no loop of asyncio: only what is held open needs one
        if self.websocket:
            refusal = self._connected().refusal()
            if refusal is not None:
                raise refusal

    # -- From the client to the app

    async def take_in(self) -> Message:
        """What the client sends; from the end of its connection on, that it has left."""
        task = None if self.task is None else asyncio.current_task()
        if task is None:
            return await self.receive()
        ended, cancelling = self._ended, task.cancelling()
        if ended is not None:
            await asyncio.sleep(0)  # or who only reads, and minds nothing, would stop the loop
            return self._left(ended)
        self.readers.append(task)
        try:
            message = await self.receive()
        except asyncio.CancelledError:
            if not self._interrupted(task) or task.uncancel() > cancelling:
                raise
            message = {}
        else:
            if self._interrupted(task):
                task.uncancel()
        ended = self._ended
        return message if ended is None else self._left(ended)

    def interrupt(self) -> None:
        """Whoever waits for the client hears at once that it has left."""
        readers, self.readers = self.readers, []
        for task in readers:
            task.cancel()

    def _interrupted(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task that waited was interrupted; it waits no more."""
        if task not in self.readers:
            return True
        self.readers.remove(task)
        return False

    def _left(self, refusal: Refused) -> Message:
        if self.websocket:
            return {"type": "websocket.disconnect", "code": close_code(refusal), "reason": refusal.code}
        return {"type": "http.disconnect"}

    # -- From the app to the client

    def pass_on(self, message: Message) -> Awaitable[None]:
        """What the app sends, unless it is a server error made of a refusal: then the refusal itself.

        The exception handlers of an app do not reach into the apps mounted in it: their last resort answers 500 to
        whatever was raised there, and raises it again after that.
        """
        if self.websocket:
            return self._pass_on_frame(message)
        if self.begun:
            if self.replaced:
                return _nothing()
            if self.known:
                if message.get("more_body", False):
                    self._hold_open()
                elif self.connection is None:
                    self.closed = True
                elif self.connection.ended is None:
                    self.closed = True
                    self.connection.close()
            return self.send(message) if self.connection is None else self._pass_on_open(message)
        return self._begin(message) if message["type"] == "http.response.start" else self.send(message)

    def _begin(self, message: Message) -> Awaitable[None]:
        """The start of an answer; what may come before it, such as early hints, is none."""
        self.begun = True
        refusal = self._behind(message["status"]) if message["status"] >= 500 else None
        if refusal is not None:
            self.replaced = True
            return self.refuse(self._told(refusal))
        if self.known:
            headers = message.get("headers", ())
            if not isinstance(headers, list | tuple):
                message = {**message, "headers": (headers := list(headers))}  # the server reads them after us
            if _of_events(headers):
                return self._begin_events(message)
        return self.send(message)

    async def _begin_events(self, message: Message) -> None:
        """A stream of events is open before its first piece, which may be long in coming."""
        self.of_events = True
        await self.send(message)
        self._hold_open()

    def _pass_on_frame(self, message: Message) -> Awaitable[None]:
        """To a WebSocket."""
        kind, connection = message["type"], self.connection
        if self._ended is None:
            self.begun = True
            self.closed = self.closed or kind not in ("websocket.accept", "websocket.send")
        if connection is None:
            return self.send(message)
        if self.closed:
            connection.close()
        elif kind == "websocket.accept":
            connection.open()
        return self._pass_on_open(message)

    def _hold_open(self) -> None:
        """An answer that goes on is held open until it is whole."""
        if self.connection is None:
            connection = self._connected()
            connection.open()
            refusal = connection.refusal()
            if refusal is not None:
                connection.end(refusal)

    async def _pass_on_open(self, message: Message) -> None:
        """To a connection that may be ended before this is sent, or meanwhile: `Gone` then.

        It lets others have their turn, now and then and before an error. Servers do not while the client is quick, so
        that nobody would hear of the end of an app that only sends.
        """
        self.sent += 1
        if self.sent % _TURN == 0:
            await asyncio.sleep(0)
        if self._ended is None:
            try:
                await self.send(message)
            except Exception:
                if self._ended is None:
                    raise
            else:
                return
        await asyncio.sleep(0)
        raise Gone("the connection was ended: its caller stands no more")

    async def hang_up(self, refusal: Refused) -> None:
        """Close a WebSocket. End a stream of events as if there were no more; other answers are never made whole."""
        if self.closed:
            return
        if self.websocket and not self.begun:
            await self.refuse(refusal)
        elif self.websocket:
            await self.send({"type": "websocket.close", "code": close_code(refusal), "reason": refusal.code})
        elif self.of_events:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})
            self.closed = True

    def break_off(self) -> None:
        """Raise `Gone` if an answer was ended that is not whole.

        What a server makes of an app that just returns is its own choice; from an error each hears that this is no end.
        """
        if self._ended is not None and not self.websocket and not self.closed:
            raise Gone("the answer is broken off: its caller stands no more")

    @property
    def broken(self) -> bool:
        """Whether this is an answer that was ended, and must not be made whole by others."""
        return self._ended is not None and not self.closed and not self.of_events

    def _connected(self) -> Connection:
        if self.task is None:
            raise RuntimeError("WebSockets and streams of callers are for asyncio: nobody could end them elsewhere")
        self.connection = Connection(self.decision, self.decide, self.task, self)
        answers = self.scope.get(ANSWERS)
        if answers is not None:
            answers.append(self)
        return self.connection

    @property
    def _ended(self) -> Refused | None:
        return None if self.connection is None else self.connection.ended

    # -- Refusals

    async def raised(self, refusal: Refused) -> None:
        """The app raised a refusal: answer it as far as that is still possible."""
        if self.replaced or self.closed or self._ended is not None:
            return
        if not self.begun:
            await self.refuse(self._told(refusal))
        elif self.websocket:
            code = close_code(refusal)
            await self.send({"type": "websocket.close", "code": code, "reason": self._told(refusal).code})
        else:
            raise refusal  # half an answer is out: only the server can break it off

    async def refuse(self, refusal: Refused) -> None:
        """Answer with a refusal."""
        status, headers, body = answer(refusal, realm=self.realm, decision=self.decision.id)
        kind = "http.response"
        if self.websocket:
            extensions = self.scope.get("extensions")
            if not isinstance(extensions, Mapping) or "websocket.http.response" not in extensions:
                await self.send({"type": "websocket.close", "code": close_code(refusal), "reason": refusal.code})
                return
            kind = "websocket.http.response"
        await self.send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self.send({"type": f"{kind}.body", "body": body})

    def __repr__(self) -> str:
        return "Exchange(...)"  # a scope holds the token

    def _behind(self, status: int) -> Refused | None:
        """The refusal that an app's server error comes from, if it does."""
        handled = sys.exception()
        if handled is not None:
            return _refusal_in(handled)  # None for a bug of the app's own, whatever was refused before
        # A last resort that answers later than it catches says 500; an app that means its answer says another.
        noted = self.decision.refusals if status == 500 else ()
        return noted[-1] if noted else None

    def _told(self, refusal: Refused) -> Refused:
        """See that a refusal has its line in the audit log."""
        if refusal not in self.decision.refusals:
            self.decision.decided(None, refusal)
        return refusal


def _of_events(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:  # the length first, as it is quickest
        if len(name) == 12 and name.lower() == b"content-type" and value.lower().startswith(_EVENTS):
            return True
    return False


async def _nothing() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    await asyncio.sleep(0)  # or an app that only sends would stop the loop


def _refusal_in(error: BaseException | None) -> Refused | None:
    """The refusal itself, or the first one in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_refusal_in, error.exceptions)), None)
    return error if isinstance(error, Refused) else None
