"""An open connection, a WebSocket or a stream, which ends when its caller's token does."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, final

from watchword.core.caller import Caller, Facts, Requirement
from watchword.errors import AnotherCaller, Refused, RolesChanged
from watchword.guard.decisions import Decision
from watchword.guard.rules import Rule, signed_in

GRACE: Final = 2.0
"""Seconds that an app has to end by itself after its connection was closed; then it is cancelled."""

UNAUTHORIZED, FORBIDDEN, TRY_AGAIN_LATER, POLICY_VIOLATION = 3000, 3003, 1013, 1008

_log: Final = logging.getLogger("watchword.guard")


def close_code(refusal: Refused) -> int:
    """The code with which a refusal closes a WebSocket (RFC 6455 section 7.4 and IANA's registry).

    3000 where a fresh token may help, 3003 where a role is missing, 1013 where the guard knows too little.
    """
    if refusal.status == 403 or isinstance(refusal, RolesChanged):
        return FORBIDDEN
    return {401: UNAUTHORIZED, 503: TRY_AGAIN_LATER}.get(refusal.status, POLICY_VIOLATION)


class Gone(OSError):
    """What an app is told that goes on sending after its connection was ended (ASGI: send raises an OSError)."""


Decide = Callable[[Sequence[bytes], Rule | None, Decision], Caller | None]


class Line(Protocol):
    """What a connection needs of the request that it belongs to."""

    async def hang_up(self, refusal: Refused) -> None:
        """Tell the client that it is over."""

    def interrupt(self) -> None:
        """Tell the app, wherever it waits for the client."""


@final
class Connection:
    """A WebSocket or a stream, watched from the moment it is made until `over`.

    ``task`` is the one that runs the app. Made on its event loop, by a decision whose token was verified.
    """

    __slots__ = (
        "_cancelling",
        "_decide",
        "_ending",
        "_held",
        "_line",
        "_lookouts",
        "_loop",
        "_open",
        "_running",
        "_task",
        "_timer",
        "_watch",
        "decision",
        "ended",
    )

    def __init__(self, decision: Decision, decide: Decide, task: "asyncio.Task[object]", line: Line) -> None:
        assert decision.judge is not None, "nobody has verified the token"  # noqa: S101
        self.decision = decision
        self.ended: Refused | None = None
        self._decide = decide
        self._line = line
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._lookouts = decision.judge.lookouts
        self._open = False
        self._held: tuple[Requirement, ...] = ()
        self._running = True  # the app
        self._cancelling: int | None = None  # how often others had cancelled the task when we did
        self._ending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch = self._lookouts.watch(decision, self.end, connected=True)

    def refusal(self) -> Refused | None:
        """Why the token stands no more, where time has passed since the decision; then nothing is watched."""
        refusal = self._watch.refusal()
        if refusal is not None:
            self._watch.stop()
        return refusal

    def open(self) -> None:
        """The client has been let in: from here on the app can `renew`."""
        self._open = True
        self._held = self.decision.held
        self.decision.connection = self

    def renew(self, token: str | bytes) -> Caller:
        """Live by this token from now on, and give its caller; raise `Refused`."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("renew belongs on the event loop of the connection")
        if not self._open:
            raise RuntimeError("no connection is open any more")
        if self.ended is not None:
            raise self.ended
        before, fresh = self.decision, Decision(self.decision.method, self.decision.path, connection=self)
        assert before.facts is not None  # noqa: S101
        fresh.rule = _Renewal(signed_in if before.rule is None else before.rule, self._held, before.facts)
        caller = self._decide([_field(token)], fresh.rule, fresh)
        assert caller is not None  # noqa: S101
        fresh.rule, watch = before.rule, self._lookouts.watch(fresh, self.end, connected=True)
        self._watch.stop()
        self.decision, self._watch = fresh, watch
        return caller

    def close(self) -> None:
        """The app has ended the connection by itself."""
        self._watch.stop()
        self._open = False

    def caused(self, error: BaseException) -> bool:
        """Whether the app's error comes from the end that was put to its connection."""
        if self._uncancelled() and isinstance(error, asyncio.CancelledError):
            return True
        if self.ended is None or not isinstance(error, Exception) or not _is_gone(error):
            return False
        _log.debug("an app has heard that its connection was ended", exc_info=error)
        return True

    async def over(self) -> None:
        """The app is done: nothing is watched any more, and what is on its way to the client goes out."""
        self._running = False
        self._uncancelled()
        self.close()
        if self._ending is not None:
            await asyncio.wait({self._ending})
        if self._timer is not None:
            self._timer.cancel()
        del self._task, self._line  # whoever keeps a caller keeps no request

    # -- The end

    def end(self, refusal: Refused) -> None:
        """End it: the app hears of it at once, and is cancelled if it has not ended some time later.

        Nothing is done where it is over or ended already: who ends many may hold one that has gone in between.
        """
        self._watch.stop()
        if self.ended is not None or not self._running:
            return
        self.ended = refusal
        self.decision.closed(refusal)
        self._timer = self._loop.call_later(GRACE, self._cancel)
        self._ending = self._loop.create_task(self._hang_up(refusal))
        self._line.interrupt()

    async def _hang_up(self, refusal: Refused) -> None:
        try:
            await self._line.hang_up(refusal)
        except Exception:  # noqa: BLE001 - the server's, of a client that is gone already
            _log.debug("a connection could not be closed: it is gone", exc_info=True)

    def _cancel(self) -> None:
        """As a timeout does it: a cancellation by others, at the same time, stays theirs."""
        if self._ending is not None:
            self._ending.cancel()
        if self._running:
            self._cancelling = self._task.cancelling()
            self._task.cancel()

    def _uncancelled(self) -> bool:
        """Take our cancellation back; whether it was the only one."""
        before, self._cancelling = self._cancelling, None
        return before is not None and self._task.uncancel() <= before


@dataclass(frozen=True, slots=True)
class _Renewal(Rule):
    """What a fresh token must satisfy: the rules that opened the connection, for the same caller."""

    rule: Rule
    held: tuple[Requirement, ...]
    before: Facts = field(repr=False)

    @property
    def bound(self) -> float | None:  # type: ignore[override]
        return self.rule.bound

    def missing(self, caller: Caller) -> tuple[str, ...]:
        return self.rule.missing(caller)

    def refusal(self, caller: Caller) -> Refused | None:
        before, now = self.before, caller._facts
        for name in ("issuer", "subject", "session", "client"):
            if getattr(before, name) != getattr(now, name):
                return AnotherCaller(f"of another {name}")
        refusals = (rule.refusal(caller) for rule in (self.rule, *self.held))
        return next((refusal for refusal in refusals if refusal is not None), None)

    def __str__(self) -> str:
        return str(self.rule)


def _field(token: object) -> bytes:
    """As in ``Authorization``. A client's message may hold anything: what is neither text nor bytes is no token."""
    shown = token.encode("ascii", "replace") if isinstance(token, str) else token
    return b"Bearer " + (shown if isinstance(shown, bytes) else b"?")


def _is_gone(error: BaseException | None, passed: frozenset[int] = frozenset()) -> bool:
    """Whether an error is ours, or came of it: frameworks make others of it.

    ``passed`` are those that it led to: an error can be its own cause.
    """
    while error is not None and id(error) not in passed:
        if isinstance(error, Gone):
            return True
        passed |= {id(error)}
        if isinstance(error, BaseExceptionGroup):
            return all(_is_gone(each, passed) for each in error.exceptions)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False
