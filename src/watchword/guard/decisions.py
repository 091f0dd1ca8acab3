"""The audit line of each decision, on the logger ``watchword.decisions``.

Allowed and refused are both INFO: to refuse is a guard's daily work, and a WARNING that any stranger can cause by the
thousand would only hide the one that matters. That one is a guard that knows too little, which its operator must see.
What is open to anyone is no decision about anybody, and DEBUG: health probes would bury the rest.
"""

import logging
import re
import secrets
from typing import Final, Protocol

import msgspec

from watchword.core.caller import Facts, Requirement, fingerprint
from watchword.errors import NotReady, Refused, Unknowing
from watchword.guard.rules import anyone

logger = logging.getLogger("watchword.decisions")

ALLOWED: Final = "allowed"
_TEXT_LIMIT = 200
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+")


class Judge(Protocol):
    """What a decision needs of the guard that made it."""

    def stands(self, token: str, bound: float) -> Refused | None:
        """Whether a token stands (None) by what is known now, at most ``bound`` seconds old; or why not."""


class Decision(msgspec.Struct):
    """One request on its way through a guard: its id, which answers and log lines share, and what was decided.

    ``shown`` is the token, or the ``Authorization`` field's value that it stood in; empty for none. ``judge`` is the
    guard that verified it. ``preliminary`` is whether the request is decided about once more before it is let in.
    """

    method: str
    path: str
    shown: str | bytes = ""
    facts: Facts | None = None
    judge: Judge | None = None
    preliminary: bool = False
    refusals: tuple[Refused, ...] = ()
    _id: str | None = None

    def __repr__(self) -> str:
        return f"Decision({self.method!r}, {self.path!r})"  # nothing of what was shown

    @property
    def id(self) -> str:
        """Made when it is first asked for: most requests are let in and logged nowhere."""
        if self._id is None:
            self._id = secrets.token_urlsafe(9)
        return self._id

    @property
    def token(self) -> str:
        """The token alone."""
        shown = self.shown
        return shown if isinstance(shown, str) else shown.split()[-1].decode("ascii", "replace")

    def stands(self, bound: float) -> Refused | None:
        """Whether the token stands (None) by what is known now, at most ``bound`` seconds old; or why not."""
        return NotReady("no guard verified this") if self.judge is None else self.judge.stands(self.token, bound)

    def decided(self, rule: Requirement | None, refusal: Refused | None) -> None:
        """Keep a refusal, and write the line; cheap when nobody listens."""
        level = logging.DEBUG if rule is anyone else logging.INFO
        if refusal is not None:
            self.refusals += (refusal,)
            if isinstance(refusal, Unknowing):
                level = logging.WARNING
        elif self.preliminary:
            return
        if logger.isEnabledFor(level):
            fields = self._fields(rule, refusal)
            logger.log(level, _message(fields), extra=fields)

    def _fields(self, rule: Requirement | None, refusal: Refused | None) -> dict[str, str | None]:
        who, token = self.facts, self.token
        fields: dict[str, str | None] = {
            "decision": self.id,
            "code": ALLOWED if refusal is None else refusal.code,
            "method": self.method,
            "path": self.path,
            "rule": None if rule is None else str(rule),
            "subject": None if who is None else who.subject,
            "client": None if who is None else who.client,
            "session": None if who is None else who.session,
            "fingerprint": fingerprint(token) if token else None,
            "detail": (refusal and refusal.detail) or None,
        }
        return {name: value and _clean(value) for name, value in fields.items()}


def _message(fields: dict[str, str | None]) -> str:
    verdict = "allowed" if fields["code"] == ALLOWED else f"refused {fields['code']}"
    rest = ("subject", "client", "session", "rule", "detail", "fingerprint", "decision")
    facts = " ".join(f"{name}={fields[name]!r}" for name in rest if fields[name] is not None)
    method, path = (str(fields[name]).replace(" ", "%20") for name in ("method", "path"))  # or a path could feign facts
    return f"{verdict} {method} {path} {facts}"


def _clean(text: str) -> str:
    """One line, of bounded length, without whatever somebody put into a path that looks like a token."""
    printable = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: _TEXT_LIMIT + 1])
    masked = _TOKEN.sub("[token]", printable)
    return masked if len(text) <= _TEXT_LIMIT else masked[: _TEXT_LIMIT - 1] + "…"
