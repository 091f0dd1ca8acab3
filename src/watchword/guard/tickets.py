"""Tickets: what a browser shows at the handshake of a WebSocket, where it cannot send an ``Authorization`` field.

A ticket stands for one token, at one path, once, within 30 seconds. So it may travel in a URL, where a token must
never be: whoever reads it in a log afterwards reads something spent.
"""

import hmac
import re
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from watchword.core.caller import Caller
from watchword.core.encoding import b64url_encode
from watchword.errors import InvalidTicket, TicketsUnavailable, TooManyTickets
from watchword.guard.paths import Pattern
from watchword.guard.source import boot_clock

SECONDS: Final = 30
"""How long a ticket may be used."""

_TICKET_BYTES: Final = 32
_TICKET: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NONCE: Final = bytes(12)  # a key seals once, so that no nonce can repeat under it


class TicketStore(Protocol):
    """Where tickets are between their making and their use. ``name`` is 64 hexadecimal digits.

    What is kept is sealed under a key that only the ticket gives: who reads the store can use nothing in it, and who
    changes it gains nothing.
    """

    async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
        """Keep this for so many seconds, or raise any error."""

    async def take(self, name: str) -> bytes | None:
        """What is kept under this name and not over, which is gone from now on; None for nothing.

        Of several who take at the same time, in whichever processes, one gets it: all of "single use" rests on that.
        """


@final
class MemoryTickets:
    """Tickets in the memory of one process: for a service that has one worker."""

    def __init__(self, *, clock: Callable[[], float] = boot_clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}  # in the order in which they end, as all last as long

    async def keep(self, name: str, sealed: bytes, seconds: int) -> None:
        """Keep it, and let go of those that are over."""
        now = self._clock()
        while self._kept and self._kept[oldest := next(iter(self._kept))][0] <= now:
            del self._kept[oldest]
        self._kept[name] = now + seconds, sealed

    async def take(self, name: str) -> bytes | None:
        """What is kept, once."""
        end, sealed = self._kept.pop(name, (0.0, None))
        return sealed if end > self._clock() else None

    def __len__(self) -> int:
        return len(self._kept)


@final
class Tickets:
    """One-use tickets for WebSockets: the wall answers ``POST`` at ``path``, and takes them at handshakes.

    They are kept in ``store``: by default in memory, which is enough for one process; the workers of one machine share
    `DirectoryTickets`, and several machines a `TicketStore` of the service's own. ``parameter`` is the ticket's name
    in the query string of a handshake. Each process gives out ``per_subject`` tickets to one subject within 30
    seconds, and ``limit`` to all.

    ``ValueError`` for what cannot be meant.
    """

    def __init__(
        self,
        path: str,
        store: TicketStore | None = None,
        *,
        parameter: str = "ticket",
        per_subject: int = 100,
        limit: int = 10_000,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        if not Pattern(path).literal:
            raise ValueError("tickets are given out at one path, such as /tickets")
        if not _PARAMETER.fullmatch(parameter):
            raise ValueError("the parameter of tickets is a plain name such as ticket")
        if not 0 < per_subject <= limit:
            raise ValueError("per_subject and limit are numbers of tickets, the limit the greater")
        self.path, self.parameter = path, parameter
        self._store: TicketStore = MemoryTickets(clock=clock) if store is None else store
        self._recent = _Recent(per_subject, limit, clock)

    async def give(self, caller: Caller, path: str) -> str:
        """A ticket for this caller's token at this whole path; `TooManyTickets` or `TicketsUnavailable`."""
        self._recent.count((caller.issuer, caller.subject))
        secret = secrets.token_bytes(_TICKET_BYTES)
        ticket = b64url_encode(secret)
        name, key = _derived(ticket)
        sealed = AESGCM(key).encrypt(_NONCE, caller._shown.token.encode("ascii"), path.encode())
        try:
            await self._store.keep(name, sealed, SECONDS)
        except Exception as error:
            raise TicketsUnavailable(f"the store failed to keep: {error!r}") from error
        return ticket

    async def take(self, ticket: str, path: str) -> str:
        """The token that a ticket stands for; or `InvalidTicket`. It is spent now, also if it is for another path."""
        if not _TICKET.fullmatch(ticket):
            raise InvalidTicket("not of the form of a ticket")
        name, key = _derived(ticket)
        try:
            sealed = await self._store.take(name)
        except Exception as error:
            raise TicketsUnavailable(f"the store failed to take: {error!r}") from error
        if sealed is None:
            raise InvalidTicket("unknown, spent or over; or another process gave it that shares no store with this one")
        try:
            return AESGCM(key).decrypt(_NONCE, sealed, path.encode()).decode("ascii")
        except InvalidTag:
            raise InvalidTicket("for another path, or what the store kept was changed") from None

    def __repr__(self) -> str:
        return f"Tickets({self.path!r})"


class _Derived(NamedTuple):
    name: str
    key: bytes


def _derived(ticket: str) -> _Derived:
    """A ticket's name in the store, and the key that seals: neither gives the other away.

    The ticket has 256 random bits, so that one keyed hash is all that a derivation needs (RFC 5869 section 3.3).
    """
    both = hmac.digest(ticket.encode("ascii"), b"watchword ticket", "sha512")
    return _Derived(both[:32].hex(), both[32:])


class _Recent:
    """Who was given tickets within the last 30 seconds: spent or not, as another process may have taken them."""

    def __init__(self, per_subject: int, limit: int, clock: Callable[[], float]) -> None:
        self._per_subject, self._limit, self._clock = per_subject, limit, clock
        self._given: deque[tuple[float, tuple[str, str]]] = deque()
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, subject: tuple[str, str]) -> None:
        """One more for this subject of an issuer, or a refusal."""
        now = self._clock()
        self._forget(now - SECONDS)
        if self._counts.get(subject, 0) >= self._per_subject:
            raise TooManyTickets(f"{self._per_subject} in {SECONDS} s", retry_after=SECONDS)
        if len(self._given) >= self._limit:
            raise TicketsUnavailable(f"{self._limit} in {SECONDS} s to all", retry_after=SECONDS)
        self._given.append((now, subject))
        self._counts[subject] = self._counts.get(subject, 0) + 1

    def _forget(self, before: float) -> None:
        while self._given and self._given[0][0] <= before:
            _, subject = self._given.popleft()
            if self._counts[subject] == 1:
                del self._counts[subject]
            else:
                self._counts[subject] -= 1
