"""The audit line of each decision, on the logger ``watchword.decisions``.

Allowed and refused are both INFO: to refuse is a guard's daily work, and a WARNING that any stranger can cause by the
thousand would only hide the one that matters. That one is a guard that knows too little, which its operator must see.
What is open to anyone is no decision about anybody, and DEBUG: health probes would bury the rest.
"""

import logging
import re
import secrets
from collections.abc import Callable
from typing import Final, Protocol
from weakref import ReferenceType

import msgspec

from watchword.core.caller import Caller, Facts, Requirement, fingerprint
from watchword.errors import NotPermitted, NotReady, Refused, Unknowing
from watchword.guard.rules import Rule, anyone

logger = logging.getLogger("watchword.decisions")

ALLOWED: Final = "allowed"
CLOSED: Final = "closed"
REFUSED: Final = "refused"
_TEXT_LIMIT = 200
_MOST_HELD: Final = 64
_MOST_TOLD: Final = 16
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+")


class Watch(Protocol):
    """A token that is watched."""

    def refusal(self) -> Refused | None:
        """Why it stands no more, by what is known now; None if it stands."""

    def stop(self) -> None:
        """Watch it no more; again is harmless."""


class Watching(Protocol):
    """Who hears the end of tokens."""

    def watch(self, decision: "Decision", end: Callable[[Refused], None], *, connected: bool = False) -> Watch:
        """Call ``end``, once, when a decision's token stands no more."""

    async def gone(self, decision: "Decision") -> Refused:
        """Wait until a decision's token stands no more; why."""


class Open(Protocol):
    """A connection that is open: by which token it lives, and how it gets a fresh one."""

    decision: "Decision"

    def renew(self, token: str | bytes) -> Caller:
        """Live by this token from now on; raise `Refused`."""


class Judge(Protocol):
    """What a decision needs of the guard that made it."""

    @property
    def lookouts(self) -> Watching:
        """Who hears the end of its tokens."""

    def stands(self, token: str, bound: float) -> Refused | None:
        """Whether a token stands (None) by what is known now, at most ``bound`` seconds old; or why not."""


class Decision(msgspec.Struct):
    """One request on its way through a guard: its id, which answers and log lines share, and what was decided.

    ``shown`` is the token, or the ``Authorization`` field's value that it stood in; empty for none. ``judge`` is the
    guard that verified it. ``preliminary`` is whether the request is decided about once more before it is let in.

    ``rule`` is the policy's, where a wall decides; ``held`` what else the caller was held against before its connection
    was open, each rule once; and ``connection`` is that connection, whether it still is open or not.
    """

    method: str
    path: str
    shown: str | bytes = ""
    facts: Facts | None = None
    judge: Judge | None = None
    preliminary: bool = False
    rule: Rule | None = None
    held: tuple[Requirement, ...] = ()
    connection: Open | None = None
    _id: str | None = None
    _told: tuple[ReferenceType[Refused], ...] = ()
    _last: Refused | None = None  # before a connection is open: an app's server error may stand for it

    def __repr__(self) -> str:
        return f"Decision({self.method!r}, {self.path!r})"  # nothing of what was shown

    @property
    def id(self) -> str:
        """Made when it is first asked for: most requests are let in and logged nowhere."""
        if self._id is None:
            self._id = secrets.token_urlsafe(9)
        return self._id

    @property
    def refusals(self) -> tuple[Refused, ...]:
        """The latest that have their line, in their order, as far as anybody still has them.

        A refusal holds the frames that it came through, and whatever a message brought to them.
        """
        return tuple(refusal for told in self._told if (refusal := told()) is not None)

    @property
    def token(self) -> str:
        """The token alone."""
        shown = self.shown
        return shown if isinstance(shown, str) else shown.split()[-1].decode("ascii", "replace")

    def stands(self, bound: float) -> Refused | None:
        """Whether the token stands (None) by what is known now, at most ``bound`` seconds old; or why not."""
        return NotReady("no guard verified this") if self.judge is None else self.judge.stands(self.token, bound)

    async def gone(self) -> Refused:
        """Wait until the token stands no more, or the fresh one that its connection was given since; why."""
        while True:
            latest = self if self.connection is None else self.connection.decision
            if latest.judge is None:
                return NotReady("no guard verified this")
            refusal = await latest.judge.lookouts.gone(latest)
            if self.connection is None or self.connection.decision is latest:
                return refusal

    def renew(self, token: str | bytes) -> Caller:
        """Let the open connection live by a fresh token; raise `Refused`. ``RuntimeError`` if none is open."""
        if self.connection is None:
            raise RuntimeError("no connection is open: renew is for a WebSocket or a stream")
        return self.connection.renew(token)

    def decided(self, rule: Requirement | None, refusal: Refused | None) -> None:
        """Keep a refusal, and write the line; cheap when nobody listens."""
        level = logging.DEBUG if rule is anyone else logging.INFO
        if refusal is not None:
            self._told = (*self._told[1 - _MOST_TOLD :], ReferenceType(refusal))
            self._last = refusal if self.connection is None else None
            if isinstance(refusal, Unknowing):
                level = logging.WARNING
        elif self.preliminary:
            return
        elif rule is not None and rule is not self.rule and self.rule is not None and self.connection is None:
            self._hold(rule)
        self._write(level, ALLOWED if refusal is None else REFUSED, rule, refusal)

    def closed(self, refusal: Refused) -> None:
        """Write the line of a connection that ends because its token stands no more."""
        self._write(logging.WARNING if isinstance(refusal, Unknowing) else logging.INFO, CLOSED, self.rule, refusal)

    def _hold(self, rule: Requirement) -> None:
        """Keep a rule for the renewals of a connection that may be opened: only a wall opens one."""
        if len(self.held) <= _MOST_HELD and rule not in self.held:
            self.held += (rule if len(self.held) < _MOST_HELD else _TOO_MANY,)

    def _write(self, level: int, verdict: str, rule: Requirement | None, refusal: Refused | None) -> None:
        if logger.isEnabledFor(level):
            fields = self._fields(verdict, rule, refusal)
            logger.log(level, _message(fields), extra=fields)

    def _fields(self, verdict: str, rule: Requirement | None, refusal: Refused | None) -> dict[str, str | None]:
        who, token = self.facts, self.token
        fields: dict[str, str | None] = {
            "decision": self.id,
            "verdict": verdict,
            "code": ALLOWED if refusal is None else refusal.code,
            "method": self.method,
            "path": self.path,
            "rule": None if rule is None else str(rule),
            "issuer": who.issuer if who is not None and who.foreign else None,
            "subject": None if who is None else who.subject,
            "client": None if who is None else who.client,
            "session": None if who is None else who.session,
            "fingerprint": fingerprint(token) if token else None,
            "detail": (refusal and refusal.detail) or None,
        }
        return {name: value and _clean(value) for name, value in fields.items()}


class _TooMany:
    """More rules than are kept: what cannot be asked again is not satisfied."""

    def refusal(self, caller: Caller) -> Refused | None:  # noqa: ARG002 - the protocol's
        return NotPermitted(f"over {_MOST_HELD} rules were asked before the connection was open")


_TOO_MANY: Final = _TooMany()


def _message(fields: dict[str, str | None]) -> str:
    verdict = ALLOWED if fields["verdict"] == ALLOWED else f"{fields['verdict']} {fields['code']}"
    rest = ("issuer", "subject", "client", "session", "rule", "detail", "fingerprint", "decision")
    facts = " ".join(f"{name}={fields[name]!r}" for name in rest if fields[name] is not None)
    method, path = (str(fields[name]).replace(" ", "%20") for name in ("method", "path"))  # or a path could feign facts
    return f"{verdict} {method} {path} {facts}"


def _clean(text: str) -> str:
    """One line, of bounded length, without whatever somebody put into a path that looks like a token."""
    printable = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: _TEXT_LIMIT + 1])
    masked = _TOKEN.sub("[token]", printable)
    return masked if len(text) <= _TEXT_LIMIT else masked[: _TEXT_LIMIT - 1] + "…"
