"""The keys that another issuer publishes: a JWK Set (RFC 7517 section 5) that somebody else looks after."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from watchword.core.encoding import NotStrict, json_object
from watchword.core.jwk import PRIVATE_MEMBERS
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet

_MOST: Final = 256  # members: each costs some tens of microseconds to check


class SecretPublished(ValueError):
    """The set holds a private or symmetric key: whoever has read it can sign, so that nothing of it proves anything."""


class Published(NamedTuple):
    """The usable keys of a set, and the names of those that it has twice: which one is meant cannot be told."""

    keys: KeySet
    ambiguous: tuple[str, ...]


def read_published(document: bytes) -> Published:
    """Read a JWK Set as far as it can be used: a member that is unfit for signatures here is passed over.

    A set without any usable key is one: its issuer has withdrawn all that it had. ``ValueError`` for what is no set.
    """
    try:
        members = json_object(document).get("keys")
    except NotStrict as why:
        raise ValueError(f"no JWK Set: {why}") from None
    if not isinstance(members, list):
        raise ValueError("no JWK Set: keys is not a list")
    if len(members) > _MOST:
        raise ValueError(f"a JWK Set of over {_MOST} keys")
    found: dict[str, dict[tuple[str, str], PublicKey]] = {}
    for member in members:
        key = _usable(member)
        if key is not None:
            found.setdefault(key.kid, {})[key.algorithm, key.thumbprint] = key
    single = [key for same in found.values() if len(same) == 1 for key in same.values()]
    return Published(KeySet(single), tuple(kid for kid, same in found.items() if len(same) > 1))


def _usable(member: object) -> PublicKey | None:
    if not isinstance(member, Mapping):
        return None
    if member.get("kty") == "oct" or "k" in member or not PRIVATE_MEMBERS.isdisjoint(member):
        raise SecretPublished("the JWK Set holds a private or symmetric key")
    try:
        return PublicKey.from_jwk(member)
    except ValueError:
        return None
