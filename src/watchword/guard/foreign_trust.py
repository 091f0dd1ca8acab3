"""What judges the tokens of another issuer: its keys, its names, and the cutoffs that our authority has for it."""

from collections.abc import Callable
from typing import final

from watchword import errors
from watchword.core.caller import Facts
from watchword.core.feed import Knowledge
from watchword.core.foreign_claims import ForeignClaims, ForeignFacts
from watchword.core.grants import Grants
from watchword.errors import Refused
from watchword.guard.decisions import Decision
from watchword.guard.foreign_keys import ForeignKeys, KnownKeys
from watchword.guard.other_issuer import OtherIssuer
from watchword.guard.seen import Seen, Sight
from watchword.guard.source import Known, Source


@final
class ForeignTrust:
    """A `Trust` in another issuer.

    Its tokens need two kinds of knowledge: the issuer's keys, which work for as long as the `OtherIssuer` says, and
    the source's, which has their cutoffs, and is held to the bounds that decisions on our own tokens have. ``wake`` is
    called when an unknown key is shown.
    """

    def __init__(
        self,
        other: OtherIssuer,
        grants: Grants,
        keys: ForeignKeys,
        source: Source,
        seen: Seen,
        *,
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._verifier = other.verifier(clock)
        self._types = frozenset(other.types)
        self._excused = frozenset(other.excused)
        self._read_claims = other.places().read
        self._leeway = other.leeway.total_seconds()
        self._grants = other.grants(grants)
        self._issuer = other.issuer
        self._keys = keys
        self._source = source
        self._seen = seen
        self._wake = wake
        self._clock = clock

    def recall(self, sight: Sight, shown: str | bytes, decision: Decision, bound: float) -> Facts | None:
        """As `Trust` has it."""
        known, keys, facts = self._source.known, self._keys.known, sight.facts
        if known is None or keys is None or sight.keys is not keys.keys:
            return None
        if not facts.begins <= self._clock() < facts.ends:
            return None
        if sight.version is not known.knowledge.version:
            if self._judgement(facts, known.knowledge) is not None:
                return None
            sight.version = known.knowledge.version
        if self._keys.too_old(keys) or self._source.clock() - known.as_of > bound:  # last of all, as for our own
            return None
        decision.shown, decision.facts = shown, facts
        return facts

    def verified(self, token: str, field: bytes | None, decision: Decision, bound: float) -> Facts:
        """As `Trust` has it."""
        decision.shown, known, keys = token, self._known(), self._known_keys()
        knowledge = known.knowledge
        try:
            claims = self._verifier.claims(token, self._types, self._read, keys.keys)
        except errors.UnknownKey:
            if self._keys.want():
                self._wake()
            if self._keys.overdue(keys):
                raise self._old(keys) from None
            raise
        facts = ForeignFacts.of(claims, self._grants.of(claims), self._issuer, self._leeway)
        decision.facts = facts
        refusal = self._judgement(facts, knowledge)
        if refusal is not None:
            raise refusal
        self._check_age(known, keys, bound)
        self._seen.keep(token, field, Sight(self, facts, keys.keys, knowledge.version))
        return facts

    def _read(self, payload: bytes) -> ForeignClaims:
        return self._read_claims(payload, self._excused)

    def _known(self) -> Known:
        known = self._source.known
        if known is None:
            raise errors.NotReady(self._source.last_error or "nothing is known yet")
        return known

    def _known_keys(self) -> KnownKeys:
        keys = self._keys.known
        if keys is None:
            raise errors.NotReady(f"no keys of {self._issuer}: {self._keys.last_error or 'not fetched yet'}")
        return keys

    def _judgement(self, facts: Facts, knowledge: Knowledge) -> Refused | None:
        """Why its cutoffs end a token, or None.

        A clock of the issuer's that is ahead by the leeway dates its tokens so far into the future: what was minted
        before a cutoff is refused by it all the same. The price: so is what is minted in that time after it.
        """
        assert isinstance(facts, ForeignFacts)  # noqa: S101 - nothing else is made here
        return knowledge.foreign.judge(
            self._issuer,
            subject=facts.subject,
            client=facts.client or "",
            session=facts.session or "",
            roles=facts.grant.named,
            token=facts.token_id or "",
            issued_at=facts.issued - self._leeway,
        )

    def _check_age(self, known: Known, keys: KnownKeys, bound: float) -> None:
        if self._keys.too_old(keys):
            raise self._old(keys)
        age = self._source.clock() - known.as_of  # last of all: a pause before this line counts
        if age > bound:
            self._source.wake()
            raise errors.Stale(f"known as of {age:.1f} s ago")

    def _old(self, keys: KnownKeys) -> Refused:
        return errors.Stale(f"the keys of {self._issuer} are {self._keys.age(keys):.0f} s old: {self._keys.last_error}")
