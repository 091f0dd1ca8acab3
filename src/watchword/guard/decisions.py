"""The audit line of each decision, on the logger ``watchword.decisions``.

Allowed and refused are both INFO: to refuse is a guard's daily work, and a WARNING that any stranger can cause by the
thousand would only hide the one that matters. That one is a guard that knows too little, which its operator must see.
What is open to anyone is no decision about anybody, and DEBUG: health probes would bury the rest.
"""

import logging
import re
import secrets
from typing import Final, final

from watchword.core.caller import Caller, Data, Requirement, fingerprint
from watchword.errors import Refused, Unknowing
from watchword.guard.rules import anyone

logger = logging.getLogger("watchword.decisions")

ALLOWED: Final = "allowed"
_TEXT_LIMIT = 200
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+")


@final
class Decision:
    """One request on its way through a guard: its id, which answers and log lines share, and what was decided."""

    __slots__ = ("id", "method", "path", "refusals", "token", "who")

    def __init__(self, method: str, path: str) -> None:
        self.id = secrets.token_urlsafe(9)
        self.method = method
        self.path = path
        self.token: str | None = None
        self.who: Caller | Data | None = None
        self.refusals: list[Refused] = []

    def note(self, _: Caller, rule: Requirement, refusal: Refused | None) -> None:
        """What `Caller.require` tells: a rule was held against the caller of this request."""
        self.decided(rule, refusal)

    def decided(self, rule: Requirement | None, refusal: Refused | None) -> None:
        """Keep a refusal, and write the line; cheap when nobody listens."""
        if refusal is not None:
            self.refusals.append(refusal)
        level = logging.DEBUG if rule is anyone else logging.INFO
        if isinstance(refusal, Unknowing):
            level = logging.WARNING
        if logger.isEnabledFor(level):
            fields = self._fields(rule, refusal)
            logger.log(level, _message(fields), extra=fields)

    def _fields(self, rule: Requirement | None, refusal: Refused | None) -> dict[str, str | None]:
        who = self.who
        fields = {
            "decision": self.id,
            "code": ALLOWED if refusal is None else refusal.code,
            "method": self.method,
            "path": self.path,
            "rule": None if rule is None else str(rule),
            "subject": who.subject if isinstance(who, Caller) else None,
            "client": who and who.client,
            "session": who.session if isinstance(who, Caller) else None,
            "fingerprint": self.token and fingerprint(self.token),
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
