"""Tokens seen before: what was found good once need not be verified again, as long as nothing that decides changes.

Only verified tokens get in, so that junk, however much of it, drives nothing out. What is found here is not yet
allowed: whoever asks still holds clock, cutoffs and age against it.
"""

import hashlib
import secrets
from typing import Final, Protocol, final

import msgspec

from watchword.core.caller import Facts
from watchword.core.keyset import KeySet
from watchword.guard.decisions import Decision

_AT_HAND: Final = 4096  # tokens, and as many fields, whose whole text is kept too
_END: Final = 24  # characters of a signature: no two tokens share so many, and if they did, the whole text decides
_DIGEST_BYTES: Final = 16
_SCHEME: Final = len(b"Bearer ")


class Recalling(Protocol):
    """What found a token good, and knows whether it still is."""

    def recall(self, sight: "Sight", shown: str | bytes, decision: Decision, bound: float) -> Facts | None:
        """The facts of a token seen before, if it would certainly be found good again; all else goes the long way."""


class Sight(msgspec.Struct, gc=False):
    """A token that was found good: by whom, under which keys, and by which knowledge it was judged last."""

    trust: Recalling
    facts: Facts
    keys: KeySet
    version: object
    digest: bytes = b""


@final
class Seen:
    """Verified tokens, about ``limit`` of them at most, in about 600 bytes each.

    They are kept by a keyed digest in two generations: what is seen again moves to the young one, and when that is half
    of the limit, the old one goes. So a token stays as long as it is seen before a quarter of the limit comes new.

    Those of the last few thousand are at hand with all that was shown, a token or an ``Authorization`` field's value,
    which saves the digest's microsecond. For the others Python's own hash finds the place, and the digest decides: junk
    costs none.

    There is no lock, as each step is one that Python does whole: threads that meet may forget a generation early, or
    keep a few tokens too many. A lock could be held for ever in a forked child.
    """

    __slots__ = ("_fields", "_half", "_key", "_most_at_hand", "_old", "_tokens", "_young")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._most_at_hand = min(_AT_HAND, limit // 4)
        self._key = secrets.token_bytes(32)
        self._tokens: dict[str, tuple[str, Sight]] = {}
        self._fields: dict[bytes, tuple[bytes, Sight]] = {}
        self._young: dict[int, Sight] = {}
        self._old: dict[int, Sight] = {}

    def token(self, token: str) -> Sight | None:
        """What is at hand for exactly this token."""
        held = self._tokens.get(token[-_END:])
        return held[1] if held is not None and held[0] == token else None

    def field(self, value: bytes) -> Sight | None:
        """What is at hand for exactly this value of an ``Authorization`` field."""
        held = self._fields.get(value[-_END:])
        return held[1] if held is not None and held[0] == value else None

    def fetch(self, token: str, field: bytes | None) -> Sight | None:
        """What is kept about exactly this token, at hand from now on; ``field`` is where it stood, if in one."""
        place = hash(token)
        sight = self._young.get(place) or self._old.get(place)
        if sight is None or sight.digest != self._digest(token):
            return None
        self._store(token, field, sight)
        return sight

    def keep(self, token: str, field: bytes | None, sight: Sight) -> None:
        """Remember a token that was verified."""
        if self._half:
            sight.digest = self._digest(token)
            self._store(token, field, sight)

    def _store(self, token: str, field: bytes | None, sight: Sight) -> None:
        if field is None:
            if len(self._tokens) >= self._most_at_hand:
                self._tokens.clear()
            self._tokens[token[-_END:]] = token, sight
        elif len(field) == len(token) + _SCHEME:  # what else is around a token is a stranger's choice, and our memory
            if len(self._fields) >= self._most_at_hand:
                self._fields.clear()
            self._fields[field[-_END:]] = field, sight
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[hash(token)] = sight

    def _digest(self, token: str) -> bytes:
        text = token.encode(errors="surrogatepass")
        return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=self._key).digest()

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
