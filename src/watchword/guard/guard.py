"""The guard: the checks of every request, in their order, on what is known in this process."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, final

from watchword import errors
from watchword.core.caller import Caller, Data, Facts
from watchword.core.cutoffs import Position
from watchword.core.grants import Grants
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet
from watchword.core.verifier import Verifier
from watchword.errors import Refused
from watchword.guard.asgi import App, Wall
from watchword.guard.bearer import bearer_token
from watchword.guard.catching_up import CatchingUp
from watchword.guard.decisions import Decision, logger
from watchword.guard.follower import Follower
from watchword.guard.lookout import Lookouts
from watchword.guard.other_issuer import OtherIssuer
from watchword.guard.others import Others, OtherStatus
from watchword.guard.policy import Policy
from watchword.guard.rules import Rule, anyone
from watchword.guard.seen import Seen
from watchword.guard.source import FixedKeys, Paced, Source
from watchword.guard.tickets import Tickets
from watchword.guard.trust import NoTrust, OwnTrust
from watchword.transport import Address, Credentials

START_TIME: Final = 5.0
"""Seconds that a starting service waits for the first snapshot; then it starts closed."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a guard knows, for an operator.

    ``fresh`` is whether what is known is within the guard's own bound, ``max_staleness``. ``staleness`` is in seconds;
    it, position and epoch are None before the first snapshot. ``keys`` are names. ``feed`` is the URL that is followed,
    None where none is. ``connections`` is how many WebSockets and streams are open.
    """

    fresh: bool
    position: int | None
    epoch: str | None
    staleness: float | None
    cutoffs: int
    keys: list[str]
    last_error: str | None
    feed: str | None
    connections: int
    others: tuple[OtherStatus, ...]


@final
class Guard:
    """Protects a service: verifies callers, and holds policies against them, without I/O on the way of a request.

    ``issuer`` and ``audience`` name the authority and this service as tokens must name them. ``others`` are issuers
    whose tokens are taken too, or alone where there is no ``issuer``. ``roles`` maps a role to
    its permissions here (``orders:*`` grants all that begin so), ``inherits`` a role to those it includes.

    Keys and cutoffs come from the authority's feed at ``feed``, by default the issuer's own URL, or a list of URLs of
    replicas, of which one that answers is followed; or from ``source``; or are fixed by ``keys``, and then nothing can
    be revoked. ``client_id`` and ``client_secret`` identify this
    service to the feed, by default from ``WATCHWORD_CLIENT_ID`` and ``WATCHWORD_CLIENT_SECRET`` (or ``…_FILE``).

    No decision rests on knowledge older than ``max_staleness``, unless its rule has a bound of its own, or
    ``unsafely_accept_stale`` lets the others rest on whatever is known; ``unsafely_keep_stale_connections`` lets those
    who are let in stay connected on it. ``leeway`` and ``max_lifetime`` are the
    verifier's, ``clock`` gives seconds since 1970. ``max_cached`` is how many verified tokens are remembered (about 600
    bytes each); clock, cutoffs and staleness are held against them every time. Construction does no I/O;
    ``ValueError`` for what cannot be meant.
    """

    def __init__(
        self,
        issuer: str | None = None,
        *,
        audience: str,
        others: Iterable[OtherIssuer] = (),
        roles: Mapping[str, Iterable[str]] | None = None,
        inherits: Mapping[str, Iterable[str]] | None = None,
        feed: str | Sequence[str] | None = None,
        source: Source | None = None,
        keys: KeySet | PublicKey | Iterable[PublicKey] | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        max_staleness: timedelta = timedelta(seconds=30),
        unsafely_accept_stale: bool = False,
        unsafely_keep_stale_connections: bool = False,
        leeway: timedelta = timedelta(seconds=2),
        max_lifetime: timedelta = timedelta(hours=1),
        max_cached: int = 20_000,
        unsafely_allow_plain_http: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if sum(given is not None for given in (feed, source, keys)) > (issuer is not None):
            raise ValueError("feed, source and keys exclude one another, and are an issuer's")
        if max_staleness <= timedelta():
            raise ValueError("max_staleness is more than 0 seconds")
        if max_cached < 0:
            raise ValueError("max_cached is a number of tokens, 0 for none")
        self.issuer = issuer
        self.audience = audience
        self._seen = Seen(max_cached)
        self._max_staleness = max_staleness.total_seconds()
        self._bound = math.inf if unsafely_accept_stale else self._max_staleness
        self._shortest = self._longest = self._max_staleness  # of the bounds that the source knows of
        self._begun = False
        if issuer is None:
            self._source: Source = FixedKeys(())
        elif source is not None:
            self._source = source
        elif keys is not None:
            self._source = FixedKeys(keys)
        else:
            self._source = Follower(
                issuer,
                _addresses(issuer if feed is None else feed, plain_http_anywhere=unsafely_allow_plain_http),
                max_staleness=max_staleness,
                credentials=Credentials.later(client_id, client_secret),
            )
        grants = Grants(roles or {}, inherits or {})
        self._own: OwnTrust | NoTrust = NoTrust()
        if issuer is not None:
            self._own = OwnTrust(
                Verifier(issuer, audience, (), leeway=leeway, max_lifetime=max_lifetime, clock=clock),
                grants,
                self._source,
                self._seen,
                max_staleness=self._max_staleness,
                clock=clock,
            )
        self._others = Others(others, issuer, grants=grants, source=self._source, seen=self._seen, clock=clock)
        if issuer is None and not self._others:
            raise ValueError("name the authority, or other issuers")
        self.expect(self._bound)
        self._catching_up = CatchingUp(self._source)
        self.lookouts = Lookouts(
            self._source,
            clock=clock,
            bound=self._bound,
            keep_stale=unsafely_keep_stale_connections,
            foreign=self._others.keys,
        )

    # -- Decisions

    def decide(self, authorization: Sequence[bytes], rule: Rule | None, decision: Decision) -> Caller | None:
        """Decide about one request: its caller, or None where the rule is `anyone`; raise `Refused` otherwise.

        ``authorization`` holds the values of all its ``Authorization`` fields, ``rule`` is the policy's for it (None
        for no row), and ``decision`` is told, which writes the audit line.
        """
        caller = None
        try:
            if rule is not anyone:
                field = authorization[0] if len(authorization) == 1 else b""
                sight, decision.judge = self._seen.field(field), self
                facts = None if sight is None else sight.trust.recall(sight, field, decision, self._bound)
                if facts is None:
                    bound = self._bound if rule is None or rule.bound is None else rule.bound
                    facts = self._verified(bearer_token(authorization), field, decision, bound)
                caller = Caller._of(facts, decision)
                refusal = errors.NoRule("no row covers it") if rule is None else rule.refusal(caller)
                if refusal is not None:
                    raise refusal
        except Refused as refused:
            decision.decided(rule, refused)
            raise
        if logger.isEnabledFor(logging.INFO):
            decision.decided(rule, None)
        return caller

    def verify(self, token: str | bytes) -> Caller:
        """Everything but a rule, for a token that came by another way than HTTP; raise `Refused`."""
        return self._verify(token, Decision("verify", "-"))

    def recheck(self, caller: Caller) -> Caller:
        """The same caller, if the token still stands at this moment; raise `Refused` otherwise.

        For work that goes on long after its request was let in. The audit log is told of a refusal, and not that
        nothing has changed.
        """
        decision = Decision("recheck", "-", preliminary=True)
        again = self._verify(caller._shown.token, decision)
        decision.preliminary = False  # from here on it is the decision that rules are held against
        return again

    def _verify(self, token: str | bytes, decision: Decision) -> Caller:
        try:
            text = token if type(token) is str else _text(token)
            sight, decision.judge = self._seen.token(text), self
            facts = None if sight is None else sight.trust.recall(sight, text, decision, self._bound)
            if facts is None:
                facts = self._verified(text, None, decision, self._bound)
        except Refused as refusal:
            decision.decided(None, refusal)
            raise
        if logger.isEnabledFor(logging.INFO):
            decision.decided(None, None)
        return Caller._of(facts, decision)

    def data(self, token: str | bytes) -> Data:
        """Verify a data token that another client sent to this service, cutoffs included; raise `Refused`."""
        decision = Decision("data", "-")
        try:
            self._begin()
            data = self._own.data(_text(token), decision, self._bound)
        except Refused as refusal:
            decision.decided(None, refusal)
            raise
        decision.decided(None, None)
        return data

    def stands(self, token: str, bound: float) -> Refused | None:
        """Whether a token stands (None) by what is known now, at most ``bound`` seconds old; or why not.

        Rules with a bound of their own ask for it, about tokens that were verified here.
        """
        self.expect(bound)
        try:
            self._verified(token, None, Decision("require", "-"), bound)
        except Refused as refusal:
            return refusal
        return None

    def lacks(self, position: Position) -> bool:
        """Whether a position is not known yet: what is known is of another epoch, or ends before it."""
        return self._catching_up.lacks(position)

    async def reach(self, position: Position) -> None:
        """Wait until a position is known, for a second at most; raise `Behind` if that does not come to pass.

        Whoever waits holds something, so verify the token first, and once more afterwards. On an asyncio event loop.
        """
        await self._catching_up.reach(position)

    def expect(self, bound: float) -> None:
        """Keep what is known younger than ``bound`` seconds, while all is well, as some decisions rest on it.

        A policy's bounds are expected when the wall is built, others when they are first met.
        """
        if self._shortest <= bound <= self._longest:
            return
        self._shortest, self._longest = min(self._shortest, bound), max(self._longest, bound)
        if isinstance(self._source, Paced):
            self._source.expect(bound)

    def _verified(self, token: str, field: bytes | None, decision: Decision, bound: float) -> Facts:
        """The checks between a token's presence and the rule; ``field`` is where it stood, if in one."""
        sight = self._seen.fetch(token, field)
        facts = None if sight is None else sight.trust.recall(sight, token, decision, bound)
        if facts is not None:
            return facts
        self._begin()
        trust = (self._others and self._others.trust(token)) or self._own
        return trust.verified(token, field, decision, bound)

    def _begin(self) -> None:
        if not self._begun:
            self.start()

    # -- Life

    def asgi(self, app: App, policy: Policy, *, tickets: Tickets | None = None, subprotocol: str | None = None) -> App:
        """The app behind a wall: no request reaches it but those that the policy lets through.

        ``ValueError`` for an app that sets a ``root_path`` of its own, or holds one that does: its router would see
        other paths than the wall. For FastAPI there is `watchword.frameworks.fastapi.protect`.

        ``tickets`` and ``subprotocol`` let browsers open WebSockets: see `Wall`.
        """
        return Wall(app, self, policy, tickets=tickets, subprotocol=subprotocol)

    def start(self) -> None:
        """Begin to follow the authority and the keys of others; the first decision does it too, for whoever forgot."""
        self._begun = True
        self._source.start()
        self._others.start()

    def stop(self) -> None:
        """End following. Decisions go on, on what is known, until it is too old."""
        self._source.stop()
        self._others.stop()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:  # noqa: ARG002 - frameworks give their app
        """For a framework's ``lifespan``: start, wait a little for the first snapshot, and stop at the end.

        A service whose authority is down starts closed: it answers 503 until the first snapshot.
        """
        self.start()
        try:
            await asyncio.gather(*(asyncio.to_thread(each.wait, START_TIME) for each in (self._source, self._others)))
            yield
        finally:
            await asyncio.to_thread(self.stop)

    def status(self) -> Status:
        """What is known at this moment."""
        known, last_error = self._source.known, self._source.last_error
        feed = self._source.followed if isinstance(self._source, Follower) else None
        connections = self.lookouts.connections
        if known is None:
            return Status(False, None, None, None, 0, [], last_error, feed, connections, self._others.status())
        knowledge, staleness = known.knowledge, max(0.0, self._source.clock() - known.as_of)
        return Status(
            fresh=staleness <= self._max_staleness,
            position=knowledge.number,
            epoch=knowledge.epoch,
            staleness=staleness,
            cutoffs=len(knowledge.cutoffs),
            keys=[key.kid for key in knowledge.keys],
            last_error=last_error,
            feed=feed,
            connections=connections,
            others=self._others.status(),
        )

    def __repr__(self) -> str:
        return f"Guard({self.issuer!r}, audience={self.audience!r})"


def _addresses(feed: str | Sequence[str], *, plain_http_anywhere: bool) -> list[Address]:
    urls = [feed] if isinstance(feed, str) else feed
    if not urls:
        raise ValueError("feed is a URL, or a list of them that is not empty")
    return list(dict.fromkeys(Address.parse(url, plain_http_anywhere=plain_http_anywhere) for url in urls))


def _text(token: str | bytes) -> str:
    """The token as text; what is not ASCII becomes what no token holds."""
    if not isinstance(token, str | bytes):
        raise errors.Malformed("neither text nor bytes")
    return str.__str__(token) if isinstance(token, str) else token.decode("ascii", "replace")
