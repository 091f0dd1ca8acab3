"""Rules: what a caller must be or have, as values that combine with ``&`` and ``|``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NoReturn

from watchword.core.caller import Caller
from watchword.errors import NotPermitted, Refused


class Rule(ABC):
    """What a caller must be or have. ``str(rule)`` is its text for the audit log of whoever runs the service."""

    __slots__ = ()

    bound: float | None = None
    """How old, in seconds, what is known of revocations may be under this rule; None leaves that to the guard."""

    @abstractmethod
    def missing(self, caller: Caller) -> tuple[str, ...]:
        """What this caller lacks, in words that may be told to anybody; empty if the rule is satisfied."""

    def refusal(self, caller: Caller) -> Refused | None:
        """None if the caller satisfies the rule, else a `NotPermitted` that names what is missing."""
        missing = self.missing(caller)
        if not missing:
            return None
        refusal = NotPermitted(f"the rule is: {self}", missing=list(missing))
        refusal.sentence = f"This needs {' and '.join(missing)}."
        return refusal

    def within(self, bound: timedelta) -> "Rule":
        """This rule with a bound of its own, which replaces the guard's ``max_staleness`` where a policy has the rule.

        Shorter for what must not happen by mistake, longer for what may. Apply it last, to the whole rule.
        ``ValueError`` for a bound of no length, and for rules that have no use for one.
        """
        if bound <= timedelta():
            raise ValueError("within takes more than 0 seconds")
        return _Bounded(_bare(self), bound.total_seconds())

    def unsafely_accept_stale(self) -> "Rule":
        """This rule on knowledge of any age: who is revoked while the authority is out of reach gets in all the same.

        All that is known still counts, and before anything is known nobody gets in. Apply it last, to the whole rule.
        """
        return _Bounded(_bare(self), math.inf)

    def __and__(self, other: "Rule") -> "Rule":
        return _All(_parts(_All, self) + _parts(_All, other))

    def __or__(self, other: "Rule") -> "Rule":
        return _Any(_parts(_Any, self) + _parts(_Any, other))

    def __bool__(self) -> NoReturn:
        # `a and b` would be b alone, and `a or b` a alone: half a rule that type-checks.
        raise TypeError("combine rules with & and |, not with 'and', 'or' and 'not'")


@dataclass(frozen=True, slots=True)
class _Has(Rule):
    """One thing that a caller has or lacks; ``public`` is its name in answers."""

    text: str
    public: str
    test: Callable[[Caller], bool] = field(compare=False, repr=False)

    def missing(self, caller: Caller) -> tuple[str, ...]:
        return () if self.test(caller) else (self.public,)

    def refusal(self, caller: Caller) -> Refused | None:
        return None if self.test(caller) else Rule.refusal(self, caller)  # two calls less for whoever is let in

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _All(Rule):
    parts: tuple[Rule, ...]

    def missing(self, caller: Caller) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.missing(caller)))

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, _Any) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any(Rule):
    parts: tuple[Rule, ...]

    def missing(self, caller: Caller) -> tuple[str, ...]:
        lacking = [part.missing(caller) for part in self.parts]
        if not all(lacking):
            return ()
        return (" or ".join(f"({' and '.join(names)})" if len(names) > 1 else names[0] for names in lacking),)

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, _All) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Anyone(Rule):
    def missing(self, caller: Caller) -> tuple[str, ...]:  # noqa: ARG002
        return ()

    def __str__(self) -> str:
        return "anyone"


@dataclass(frozen=True, slots=True)
class _Bounded(Rule):
    rule: Rule
    bound: float

    def missing(self, caller: Caller) -> tuple[str, ...]:
        return self.rule.missing(caller)

    def refusal(self, caller: Caller) -> Refused | None:
        return caller._shown.stands(self.bound) or self.rule.refusal(caller)

    def __str__(self) -> str:
        whole = f"({self.rule})" if isinstance(self.rule, _All | _Any) else str(self.rule)
        return f"{whole} {'stale or not' if self.bound == math.inf else f'within {self.bound:g} s'}"


anyone: Final[Rule] = _Anyone()
"""For a policy's row that is open: tokens are ignored there, good or bad. It does not combine with other rules."""

signed_in: Final[Rule] = _Has("signed in", "a signed-in caller", lambda _: True)
"""Every caller whose token stands."""


def role(name: str) -> Rule:
    """The caller has this role, by itself or by inheritance. ``ValueError`` unless it is one name."""
    _check_name(name, "role")
    return _Has(f"role {name}", f"role {name}", lambda caller: name in caller._facts.grant.roles)


def permission(name: str) -> Rule:
    """One of the caller's roles has this permission in the guard's table. ``ValueError`` unless it is one name.

    ``orders:*`` is something to grant, not something to ask for.
    """
    _check_name(name, "permission")
    if "*" in name:
        raise ValueError("a rule asks for one permission, not for a pattern of permissions")
    return _Has(f"permission {name}", f"permission {name}", lambda caller: caller.may(name))


def scope(name: str) -> Rule:
    """The client was allowed this scope (RFC 6749 section 3.3). ``ValueError`` unless it is one name."""
    _check_name(name, "scope")
    return _Has(f"scope {name}", f"scope {name}", lambda caller: name in caller.scopes)


def owner(subject: str | None, *, issuer: str | None = None) -> Rule:
    """The caller is this subject; None stands for nobody's. ``ValueError`` for the empty text.

    Subjects are of the service's own authority, unless ``issuer`` names another one: two issuers may give the same
    name to two people. Whose the object is stays out of answers.
    """
    if subject is not None and not isinstance(subject, str):
        raise TypeError("owner takes a subject, as caller.subject gives it, or None")
    if subject == "":
        raise ValueError("owner takes a subject that is not empty, or None for nobody's")

    def is_owner(caller: Caller) -> bool:
        facts = caller._facts
        own = not facts.foreign if issuer is None else facts.issuer == issuer
        return own and subject is not None and facts.subject == subject

    return _Has(f"owner {subject}" + (f" of {issuer}" if issuer else ""), "ownership", is_owner)


def _check_name(name: object, kind: str) -> None:
    if not isinstance(name, str) or not name or not name.isprintable() or " " in name:
        raise ValueError(f"{kind} takes one name, not empty and without spaces; combine several with & and |")


def _parts(kind: type[_All] | type[_Any], rule: object) -> tuple[Rule, ...]:
    if not isinstance(rule, Rule):
        raise TypeError("a rule combines with rules only")
    if isinstance(rule, _Anyone):
        raise ValueError("anyone stands alone: a rule that combines it would open more, or less, than it says")
    if isinstance(rule, _Bounded):
        raise ValueError("within and unsafely_accept_stale come last: (a & b).within(...)")
    return rule.parts if isinstance(rule, kind) else (rule,)


def _bare(rule: Rule) -> Rule:
    if isinstance(rule, _Anyone):
        raise ValueError("anyone has no bound: nothing is checked where anyone may")
    if isinstance(rule, _Bounded):
        raise ValueError("the rule has its bound already")
    return rule
