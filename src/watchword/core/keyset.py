"""The keys that a verifier trusts, by ``kid``."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self, final

from watchword.core.encoding import json_object
from watchword.core.jwk import PRIVATE_MEMBERS
from watchword.core.keys import PublicKey
from watchword.errors import KeyWithdrawn, UnknownKey

_MAX_HEADERS: Final = 256


@final
class KeySet:
    """An immutable set of public keys, each under its own ``kid``, and the names of those that were withdrawn."""

    __slots__ = ("_headers", "_keys", "withdrawn")

    def __init__(self, keys: Iterable[PublicKey] = (), *, withdrawn: Iterable[str] = ()) -> None:
        """``ValueError`` if two keys share a ``kid``, or one was withdrawn; ``TypeError`` for what is no public key."""
        self._keys: dict[str, PublicKey] = {}
        self.withdrawn = frozenset(withdrawn)
        self._headers: dict[bytes, tuple[PublicKey, str]] = {}
        for key in keys:
            if type(key) is not PublicKey:
                raise TypeError("a KeySet holds public keys and nothing else")
            if key.kid in self._keys or key.kid in self.withdrawn:
                raise ValueError("two keys of one kid, or a key that was withdrawn")
            self._keys[key.kid] = key

    @classmethod
    def from_jwks(cls, document: Mapping[str, object] | str | bytes) -> Self:
        """Read a JWK Set (RFC 7517 section 5).

        A member that is unfit for signatures here (unknown type, other use, too small) is passed over. A set that
        holds private or symmetric keys, repeats a ``kid`` or has no usable key at all is refused with ``ValueError``:
        whoever publishes that has made a mistake that must not be built on.
        """
        if isinstance(document, str | bytes):
            document = json_object(document.encode() if isinstance(document, str) else document)
        given: object = document
        members = given.get("keys") if isinstance(given, Mapping) else None
        if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
            raise ValueError("no JWK Set: keys is not a list of objects")
        usable: list[PublicKey] = []
        names: set[object] = set()
        for member in members:
            _check_public(member, names)
            try:
                usable.append(PublicKey.from_jwk(member))
            except ValueError:
                continue
        if not usable:
            raise ValueError("no key in the set can verify tokens here")
        return cls(usable)

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The set as a JWK Set document."""
        return {"keys": [key.to_jwk() for key in self._keys.values()]}

    def find(self, kid: str) -> PublicKey:
        """The key of exactly that name; `KeyWithdrawn` or `UnknownKey` otherwise."""
        key = self._keys.get(kid)
        if key is not None:
            return key
        if kid in self.withdrawn:
            raise KeyWithdrawn("the key was withdrawn")
        raise UnknownKey("no key of that kid")

    def recall(self, header: bytes) -> tuple[PublicKey, str] | None:
        """The key and kind of token that this very header segment led to before."""
        return self._headers.get(header)

    def remember(self, header: bytes, key: PublicKey, kind: str) -> None:
        """Keep what a header segment led to: for a token whose signature was good, as only our signers fill this."""
        if len(self._headers) >= _MAX_HEADERS:
            self._headers.clear()
        self._headers[header] = (key, kind)

    def __iter__(self) -> Iterator[PublicKey]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self._keys)})"


def _check_public(member: Mapping[str, object], names: set[object]) -> None:
    if member.get("kty") == "oct" or "k" in member or not PRIVATE_MEMBERS.isdisjoint(member):
        raise ValueError("the set holds a private or symmetric key")
    kid = member.get("kid")
    if isinstance(kid, str):
        if kid in names:
            raise ValueError("the set repeats a kid")
        names.add(kid)
