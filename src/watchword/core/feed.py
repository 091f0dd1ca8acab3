"""The feed: pages of the authority's log, and what a guard knows once they are folded.

`Page` is the wire form. `fold` takes what is known and one page to what is known then; it insists on one unbroken
history, so that a page that is lost, repeated or from elsewhere can never pass for news.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import msgspec

from watchword import errors
from watchword.core.cutoffs import Cutoff, Cutoffs, Position, Scope, judge
from watchword.core.encoding import NotStrict, json_decode
from watchword.core.foreign import NO_FOREIGN, ForeignCutoff, ForeignCutoffs
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet

KEYS: Final = "keys"
"""The scope of an entry that changed the signing keys; it is no cutoff."""
FOREIGN: Final = "foreign"
"""The scope of an entry that cuts off tokens of another issuer."""

KeyState = Literal["next", "current", "retiring", "withdrawn"]
Number = Annotated[int, msgspec.Meta(ge=0, lt=10**18)]  # as many digits as a position may have
Moment = Annotated[float, msgspec.Meta(ge=0, le=2**53)]
Second = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class FeedError(ValueError):
    """A page that cannot be read, or that does not continue what is known: ask for a snapshot."""


class Behind(FeedError):
    """A page from before what is known: of a replica that lags, or of a database that went back. Keep the cursor."""


class PageForeign(msgspec.Struct, frozen=True):
    """What an entry of scope ``foreign`` says beside its ``id``: whose tokens die, and those issued up to when."""

    issuer: Annotated[str, msgspec.Meta(min_length=1)]
    scope: str
    before: Second


class PageEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of the log: a cutoff, or (scope ``keys``) a change of the signing keys."""

    number: Number
    scope: str
    id: str
    reason: str
    foreign: PageForeign | None = None


class PageKey(msgspec.Struct, frozen=True):
    """One signing key and its state; a withdrawn key is a name without a JWK."""

    kid: str
    state: KeyState
    jwk: dict[str, Any] | None


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the authority answers to "what came after this cursor?".

    ``after`` is the number that the page continues from, or None for a snapshot, whose entries are all the living
    cutoffs. ``number`` is how far the page brings its reader and ``head`` how far the log had come when the database
    was read. ``keys`` are all keys, or None where they have not changed since ``after``. ``cursor`` is opaque.
    ``born`` is when the epoch began, in seconds since 1970 by the authority's clock: it only tells two epochs apart.
    ``foreign_floor`` is the floor for tokens of other issuers: what was issued then or earlier is refused.
    """

    issuer: str
    instance: str
    epoch: str
    after: Number | None
    number: Number
    head: Number
    floor: Number
    entries: list[PageEntry]
    keys: list[PageKey] | None
    cursor: str
    born: Moment = 0.0
    foreign_floor: Second = 0

    @classmethod
    def decode(cls, data: bytes) -> "Page":
        """Read a page strictly; `FeedError` for anything else."""
        try:
            return msgspec.convert(json_decode(data), cls)
        except NotStrict as why:
            raise FeedError(f"not a page of a feed: {why}") from None
        except msgspec.ValidationError:  # its text can quote the page, without a limit
            raise FeedError("not a page of a feed: a member is missing or not of the right type") from None

    def encode(self) -> bytes:
        """The page as JSON."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a guard knows at one moment: an immutable value, swapped whole.

    ``foreign`` is held against tokens of other issuers: see `ForeignCutoffs.judge`.
    ``version`` is another object as soon as anything differs by which tokens are verified and judged.
    """

    instance: str
    epoch: str
    number: int
    head: int
    floor: int
    keys: KeySet
    cutoffs: Cutoffs
    cursor: str
    born: float = 0.0
    foreign: ForeignCutoffs = NO_FOREIGN
    version: object = field(init=False, default_factory=object, compare=False, repr=False)

    @property
    def complete(self) -> bool:
        """Whether this reaches the head that the authority's database had; only then does it date anything."""
        return self.number == self.head

    def judge(
        self, position: Position | None, *, client: str, roles: Iterable[str], subject: str, session: str, token: str
    ) -> errors.Refused | None:
        """Hold a verified token's facts against floor and cutoffs: its refusal, or None if it stands.

        An empty text stands for a fact that the token lacks.
        """
        if position is None:
            return errors.InvalidClaim("the claim wwd_pos is missing")
        if position.epoch != self.epoch:
            return errors.FormerEpoch("minted in another epoch")
        if position.number < self.floor:
            return errors.BelowFloor(f"minted at {position.number}, the floor is {self.floor}")
        if position.number >= self.cutoffs.latest:
            return None
        applying = self.cutoffs.applying(client=client, roles=roles, subject=subject, session=session, token=token)
        cutoff = judge(position.number, applying)
        return None if cutoff is None else cutoff.refusal()


def fold(known: Knowledge | None, page: Page) -> Knowledge:
    """What is known once a page is taken in; `FeedError` for a page that does not continue what is known."""
    if page.number > page.head or page.floor > page.head:
        raise FeedError("the page reaches beyond its own head")
    return _begin(known, page) if page.after is None else _continue(known, page)


def _begin(known: Knowledge | None, page: Page) -> Knowledge:
    if page.keys is None:
        raise FeedError("a snapshot without keys")
    floor = page.floor
    if known is not None and (known.instance, known.epoch) == (page.instance, page.epoch):
        _check_forward(known, page)
        floor = max(floor, known.floor)
    if known is not None and known.instance == page.instance and page.born < known.born:
        raise Behind("an epoch from before the one that is known")
    if any(entry.number > page.number for entry in page.entries):
        raise FeedError("a snapshot with entries beyond its number")
    cutoffs, foreign = _cutoffs(page)
    # Time goes on whatever becomes of a history: what is known of other issuers' tokens stays known.
    before = NO_FOREIGN if known is None else known.foreign
    return Knowledge(
        page.instance,
        page.epoch,
        page.number,
        page.head,
        floor,
        _keys(page.keys),
        Cutoffs(cutoffs),
        page.cursor,
        page.born,
        before.with_added(foreign, page.foreign_floor),
    )


def _continue(known: Knowledge | None, page: Page) -> Knowledge:
    if known is None or (known.instance, known.epoch, known.number) != (page.instance, page.epoch, page.after):
        raise FeedError("the page continues from elsewhere")
    _check_forward(known, page)
    if [entry.number for entry in page.entries] != list(range(known.number + 1, page.number + 1)):
        raise FeedError("the page has a gap")
    cutoffs, foreign, floor = known.cutoffs, known.foreign, max(known.floor, page.floor)
    if page.entries or floor > known.floor or page.foreign_floor > foreign.floor:
        ours, theirs = _cutoffs(page)
        cutoffs = cutoffs.with_added(ours, floor)
        foreign = foreign.with_added(theirs, page.foreign_floor)
    keys = known.keys if page.keys is None else _keys(page.keys)
    then = Knowledge(
        page.instance, page.epoch, page.number, page.head, floor, keys, cutoffs, page.cursor, known.born, foreign
    )
    if keys is known.keys and cutoffs is known.cutoffs and foreign is known.foreign and floor == known.floor:
        object.__setattr__(then, "version", known.version)  # nothing that decides is another
    return then


def _check_forward(known: Knowledge, page: Page) -> None:
    """Within one history nothing goes back, or a cutoff that was in force would be forgotten for a while.

    Only a floor may, where a database has lost nothing but that it was raised. What is known of it stays: every token
    from below it has expired.
    """
    if page.number < known.number or page.head < known.head:
        raise Behind("the page is behind what is known")


def _cutoffs(page: Page) -> tuple[list[Cutoff], list[ForeignCutoff]]:
    """The page's cutoffs: of our own tokens, and of other issuers'."""
    ours: list[Cutoff] = []
    theirs: list[ForeignCutoff] = []
    for entry in page.entries:
        if entry.scope == KEYS:
            continue
        if (entry.scope == FOREIGN) is (entry.foreign is None):
            raise FeedError("a cutoff of another issuer's tokens that names no issuer, or of ours that names one")
        if entry.foreign is None:
            ours.append(Cutoff(entry.number, _scope(entry.scope, entry.id), entry.id, entry.reason))
        else:
            theirs.append(_foreign(entry, entry.foreign))
    return ours, theirs


def _foreign(entry: PageEntry, told: PageForeign) -> ForeignCutoff:
    issuer = sys.intern(told.issuer)  # many cutoffs, few issuers
    return ForeignCutoff(issuer, _scope(told.scope, entry.id), entry.id, told.before, entry.reason)


def _scope(name: str, identifier: str) -> Scope:
    try:
        scope = Scope(name)
    except ValueError:
        raise FeedError("a cutoff of a scope that is not known here: this guard is too old") from None
    if (scope is Scope.EVERYONE) is not (identifier == ""):
        raise FeedError("a cutoff for everyone that names somebody, or another that names nobody")
    return scope


def _keys(members: list[PageKey]) -> KeySet:
    usable: list[PublicKey] = []
    for member in members:
        if member.jwk is None or member.state == "withdrawn":
            continue
        try:
            key = PublicKey.from_jwk(member.jwk)
        except ValueError:
            continue  # an algorithm newer than this guard: its tokens are refused, the other keys serve on
        if key.kid == member.kid:
            usable.append(key)
    try:
        return KeySet(usable, withdrawn=(member.kid for member in members if member.state == "withdrawn"))
    except ValueError as why:
        raise FeedError(str(why)) from None
