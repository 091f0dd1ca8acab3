"""What happened, as an onlooker knows it who is nowhere and sees everything.

A *chain* is all that was committed in one database, in order. A restored backup and a promoted standby begin a chain
that shares only its beginning with the one before: what was lost is in that one alone.
"""

import math
from dataclasses import dataclass, field
from typing import Final

Chain = tuple["Event", ...]

EPOCH: Final = "epoch"
"""A new epoch: the end of every older token."""
ALARM: Final = "alarm"
"""The feed was closed: nobody learns anything until a new epoch, or until that was taken back."""
KEPT: Final = "kept"
"""The operator has said that nothing was lost: the alarms from before count no more."""
KEY_LISTED: Final = "key listed"
KEY_WITHDRAWN: Final = "key withdrawn"


@dataclass(eq=False)
class Event:
    """Something that was committed. Moments are in true time; ``acknowledged`` is when somebody was told."""

    kind: str
    id: str
    committed: float = math.inf
    acknowledged: float = math.inf
    before: Chain = field(default=(), repr=False)

    def forbids(self, token: "Token", *, lost: bool) -> bool:
        """Whether a token from before this is dead by it; ``lost`` is one minted in a part that was lost since."""
        if self.kind in (EPOCH, ALARM):
            return True
        if self.kind == KEY_WITHDRAWN:
            return self.id == token.kid
        return not lost and not token.forged and token.is_meant(self)


@dataclass(eq=False)
class Token:
    """A token, and the chain that its mint saw in the snapshot in which it read whom the token is about.

    ``database`` is the store that it was minted from. ``forged`` is one that was made with a stolen key: its maker
    wrote whatever position was wanted, and there was no store.
    """

    text: str
    chain: Chain
    kid: str
    user: str
    client: str
    session: str
    roles: frozenset[str]
    token_id: str
    epoch: str
    number: int
    issued: int
    expires: int
    database: object | None = field(repr=False)
    ids: dict[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = {
            "everyone": frozenset({""}),
            "client": frozenset({self.client}),
            "user": frozenset({self.user}),
            "session": frozenset({self.session}),
            "role": self.roles,
            "token": frozenset({self.token_id}),
        }

    @property
    def forged(self) -> bool:
        """Whether a thief made it."""
        return self.database is None

    def is_meant(self, event: Event) -> bool:
        """Whether a cutoff names this token."""
        return event.id in self.ids.get(event.kind, ())


def follows(chain: Chain, beginning: Chain) -> bool:
    """Whether a chain goes on from where another one was."""
    size = len(beginning)
    return size <= len(chain) and (size == 0 or chain[size - 1] is beginning[-1])


def shared(one: Chain, other: Chain) -> int:
    """How many events two chains have in common."""
    number = min(len(one), len(other))
    while number and one[number - 1] is not other[number - 1]:
        number -= 1
    return number


def forbidden_from(chain: Chain, token: Token) -> float:
    """The moment from which the owner of this chain has said that a token is dead; infinity if never.

    A token that was minted in a part that this chain has lost is dead if its epoch or its key is, or while the feed is
    closed. No other revocation is promised to reach it before the next epoch: its position may be of any height.
    """
    begin = shared(chain, token.chain)
    lost = begin < len(token.chain)
    if any(event.kind == EPOCH for event in token.chain[begin:]):
        return -math.inf
    counts = set(standing(chain))
    closed = [event for event in since_epoch(chain[:begin]) if event.kind == ALARM]
    withdrawn = [event for event in chain[:begin] if event.kind == KEY_WITHDRAWN and event.id == token.kid]
    dead = [event for event in chain[begin:] if event.forbids(token, lost=lost)]
    said = [event.acknowledged for event in [*closed, *withdrawn, *dead] if event in counts]
    return min(said, default=math.inf)


def standing(chain: Chain) -> Chain:
    """A chain without the alarms that were taken back."""
    kept = max((place for place, event in enumerate(chain) if event.kind == KEPT), default=0)
    return tuple(event for event in chain[:kept] if event.kind != ALARM) + chain[kept:]


def since_epoch(chain: Chain) -> Chain:
    """What came after the last epoch began."""
    for place in range(len(chain) - 1, -1, -1):
        if chain[place].kind == EPOCH:
            return chain[place:]
    return chain
