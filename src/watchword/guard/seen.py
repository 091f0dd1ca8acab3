"""Tokens seen before: what was found good once need not be verified again, as long as nothing that decides changes.

Only verified tokens get in, so that junk, however much of it, drives nothing out. What is found here is not yet
allowed: whoever asks still holds clock, cutoffs and age against it.
"""

import hashlib
import secrets
import threading
from typing import Final, final

import msgspec

from watchword.core.caller import Facts
from watchword.core.feed import Knowledge
from watchword.core.keyset import KeySet

_AT_HAND: Final = 4096  # tokens whose whole text is kept too
END: Final = 24
"""How many characters at the end of what was shown lead to it; of a signature, no two tokens share so many."""
_DIGEST_BYTES: Final = 16


class Sight(msgspec.Struct, gc=False):
    """A token that was found good: under which keys, and by which knowledge it was judged last."""

    facts: Facts
    keys: KeySet
    version: object
    digest: bytes


@final
class Seen:
    """Verified tokens, at most ``limit`` of them, in about 600 bytes each.

    They are kept by a keyed digest in two generations: what is seen again moves to the young one, and when that is half
    of the limit, the old one goes. So a token stays as long as it is seen before a quarter of the limit comes new.

    Those of the last few thousand are at hand with all that was shown, a token or a header's value, which saves the
    digest's microsecond: its `END` leads to it, and the whole must be compared. For the others Python's own
    hash finds the place, and the digest decides: junk costs none.
    """

    __slots__ = ("_half", "_key", "_lock", "_most_at_hand", "_old", "_young", "at_hand")

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._most_at_hand = min(_AT_HAND, limit // 4)
        self._key = secrets.token_bytes(32)
        self.at_hand: dict[str | bytes, tuple[str | bytes, Sight]] = {}
        self._young: dict[int, Sight] = {}
        self._old: dict[int, Sight] = {}
        self._lock = threading.Lock()

    def fetch(self, token: str, shown: str | bytes) -> bool:
        """Have exactly this token at hand, under what was shown; False if it is not kept."""
        place = hash(token)
        sight = self._young.get(place) or self._old.get(place)
        if sight is None or sight.digest != self._digest(token):
            return False
        self._store(place, shown, sight)
        return True

    def keep(self, token: str, shown: str | bytes, facts: Facts, knowledge: Knowledge) -> None:
        """Remember a token that was verified with these keys and judged by this knowledge."""
        if self._half:
            self._store(hash(token), shown, Sight(facts, knowledge.keys, knowledge.version, self._digest(token)))

    def _store(self, place: int, shown: str | bytes, sight: Sight) -> None:
        with self._lock:
            if len(self.at_hand) >= self._most_at_hand:
                self.at_hand.clear()
            self.at_hand[shown[-END:]] = shown, sight
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[place] = sight

    def _digest(self, token: str) -> bytes:
        text = token.encode(errors="surrogatepass")
        return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=self._key).digest()

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
