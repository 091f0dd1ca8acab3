"""What judges the tokens of one issuer, by its keys and by what is known against them."""

import time
from collections.abc import Callable
from typing import Protocol, final

from watchword import errors
from watchword.core.caller import Data, Facts
from watchword.core.compact import MAX_TOKEN_BYTES, decode_header, split_token, token_bytes
from watchword.core.feed import Knowledge
from watchword.core.grants import Grants
from watchword.core.verifier import Verifier
from watchword.errors import Refused
from watchword.guard.decisions import Decision
from watchword.guard.seen import Seen, Sight
from watchword.guard.source import Known, Source


class Trust(Protocol):
    """The checks between a token's presence and the rule, for the tokens of one issuer."""

    def recall(self, sight: Sight, shown: str | bytes, decision: Decision, bound: float) -> Facts | None:
        """The facts of a token seen before, if it would certainly be found good again; all else goes the long way."""

    def verified(self, token: str, field: bytes | None, decision: Decision, bound: float) -> Facts:
        """The facts of a token that stands by what is known now, at most ``bound`` seconds old; raise `Refused`.

        ``field`` is the ``Authorization`` field's value that it stood in, if in one. ``decision`` is told what was
        shown, and whose it is.
        """


@final
class NoTrust:
    """Where there is no authority: what is of none of the other issuers is nobody's."""

    def recall(self, sight: Sight, shown: str | bytes, decision: Decision, bound: float) -> Facts | None:  # noqa: ARG002
        """Nothing was ever found good."""
        return None

    def verified(self, token: str, field: bytes | None, decision: Decision, bound: float) -> Facts:  # noqa: ARG002
        """As `Trust` has it: a refusal."""
        decision.shown = token
        _, header, _, _ = split_token(token_bytes(token, MAX_TOKEN_BYTES))
        decode_header(header)  # for its refusal, as of `split_token`'s: what is no token at all is told so
        raise errors.WrongIssuer("iss is none of the issuers that are trusted here")

    def data(self, token: str, decision: Decision, bound: float) -> Data:  # noqa: ARG002
        """Data tokens are an authority's: a refusal."""
        decision.shown = token
        raise errors.WrongIssuer("there is no authority here whose data tokens are taken")


@final
class OwnTrust:
    """The authority's own tokens: judged by position, on what a `Source` knows of keys and cutoffs."""

    def __init__(
        self,
        verifier: Verifier,
        grants: Grants,
        source: Source,
        seen: Seen,
        *,
        max_staleness: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``max_staleness`` is in seconds, ``clock`` gives seconds since 1970."""
        self._verifier = verifier
        self._grants = grants
        self._source = source
        self._seen = seen
        self._max_staleness = max_staleness
        self._clock = clock

    def recall(self, sight: Sight, shown: str | bytes, decision: Decision, bound: float) -> Facts | None:
        """As `Trust` has it."""
        known, facts = self._source.known, sight.facts
        if known is None or not facts.begins <= self._clock() < facts.ends:
            return None
        if sight.version is not known.knowledge.version and not self._stands_still(sight, known.knowledge):
            return None
        if self._source.clock() - known.as_of > bound:  # last of all: a pause before this line counts
            return None
        decision.shown, decision.facts = shown, facts
        return facts

    def _stands_still(self, sight: Sight, knowledge: Knowledge) -> bool:
        """Whether newer knowledge has the same keys, and nothing against a token that was judged by older."""
        if sight.keys is not knowledge.keys or self._judgement(sight.facts, knowledge) is not None:
            return False
        sight.version = knowledge.version
        return True

    def verified(self, token: str, field: bytes | None, decision: Decision, bound: float) -> Facts:
        """As `Trust` has it."""
        decision.shown, known = token, self._known()
        knowledge = known.knowledge
        try:
            facts = self._verifier.facts(token, keys=knowledge.keys, grants=self._grants)
            self._judge(facts, knowledge, decision)
        except (errors.UnknownKey, errors.FormerEpoch):
            self._check_age(known, min(bound, self._max_staleness), verified=False)
            raise
        self._check_age(known, bound, verified=True)
        self._seen.keep(token, field, Sight(self, facts, knowledge.keys, knowledge.version))
        return facts

    def data(self, token: str, decision: Decision, bound: float) -> Data:
        """What a data token holds that stands, as `verified` is for access tokens."""
        decision.shown, known = token, self._known()
        try:
            data = self._verifier.verify_data(token, keys=known.knowledge.keys)
            self._judge(data._facts, known.knowledge, decision)
        except (errors.UnknownKey, errors.FormerEpoch):
            self._check_age(known, self._max_staleness, verified=False)
            raise
        self._check_age(known, bound, verified=True)
        return data

    def _known(self) -> Known:
        known = self._source.known
        if known is None:
            raise errors.NotReady(self._source.last_error or "nothing is known yet")
        return known

    def _judge(self, facts: Facts, knowledge: Knowledge, decision: Decision) -> None:
        decision.facts = facts
        refusal = self._judgement(facts, knowledge)
        if refusal is not None:
            raise refusal

    def _judgement(self, facts: Facts, knowledge: Knowledge) -> Refused | None:
        position = facts.position
        if position is not None and (position.epoch != knowledge.epoch or position.number > knowledge.number):
            self._source.wake()
        return knowledge.judge(
            position,
            client=facts.client or "",
            roles=facts.grant.named,
            subject=facts.subject,
            session=facts.session or "",
            token=facts.token_id or "",
        )

    def _check_age(self, known: Known, bound: float, *, verified: bool) -> None:
        """Refuse if what is known is too old.

        What newer knowledge could turn into an acceptance, an unknown key or epoch, is no verdict while this is old,
        also where acceptances may rest on it.
        """
        age = self._source.clock() - known.as_of  # last of all: a pause before this line counts
        if age > bound:
            if verified:
                self._source.wake()  # one of ours waits: no need to sit out a long pause between attempts
            raise errors.Stale(f"known as of {age:.1f} s ago") from None
