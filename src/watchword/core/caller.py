"""Who the caller is: values that exist only because a token was verified."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, final

from msgspec import UNSET, UnsetType

from watchword.core.claims import AccessClaims, DataClaims
from watchword.core.cutoffs import Position
from watchword.errors import Refused


class Requirement(Protocol):
    """A rule that can be held against a caller."""

    def refusal(self, caller: "Caller") -> Refused | None:
        """None if the caller satisfies the rule, or the refusal that names what is missing."""


@final
class Caller:
    """Who made this request. A value that exists only because a token was verified: it has no public constructor.

    ``roles`` and ``permissions`` are those that the guard's own tables grant: inherited roles included, permissions
    possibly ending in ``*``. ``claims`` is the token's whole payload, read-only.
    """

    __slots__ = ("_claims", "_note", "_token", "claims", "permissions", "roles")

    roles: frozenset[str]
    permissions: frozenset[str]
    claims: Mapping[str, Any]
    _claims: AccessClaims
    _token: str
    _note: "Note | None"

    def __init__(self) -> None:
        raise TypeError("a Caller comes from Verifier.verify or from a Guard, never from a constructor")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Caller does not change")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Caller does not change")

    @classmethod
    def _verified(cls, claims: AccessClaims, payload: dict[str, Any], token: str) -> "Caller":
        return cls._made(claims, MappingProxyType(payload), token, frozenset(claims.roles), frozenset(), None)

    def _granted(self, roles: Iterable[str], permissions: Iterable[str], note: "Note | None") -> "Caller":
        """The same caller under a guard's tables; ``note`` is told of each `require`."""
        return self._made(self._claims, self.claims, self._token, frozenset(roles), frozenset(permissions), note)

    @classmethod
    def _made(
        cls,
        claims: AccessClaims,
        payload: Mapping[str, Any],
        token: str,
        roles: frozenset[str],
        permissions: frozenset[str],
        note: "Note | None",
    ) -> "Caller":
        caller = object.__new__(cls)
        put = object.__setattr__
        put(caller, "_claims", claims)
        put(caller, "claims", payload)
        put(caller, "_token", token)
        put(caller, "roles", roles)
        put(caller, "permissions", permissions)
        put(caller, "_note", note)
        return caller

    @property
    def subject(self) -> str:
        """``sub``: the user's id, or the client's own where it acts for itself."""
        return self._claims.sub

    @property
    def issuer(self) -> str:
        """``iss``."""
        return self._claims.iss

    @property
    def client(self) -> str | None:
        """``client_id``: the application that the token was issued to."""
        return _or_none(self._claims.client_id)

    @property
    def session(self) -> str | None:
        """``sid``: the sign-in on one device; None where no user signed in."""
        return _or_none(self._claims.sid)

    @property
    def scopes(self) -> frozenset[str]:
        """``scope``, split: what the client was allowed."""
        return frozenset((_or_none(self._claims.scope) or "").split(" ")) - {""}

    @property
    def token_id(self) -> str | None:
        """``jti``."""
        return _or_none(self._claims.jti)

    @property
    def issued_at(self) -> float:
        """``iat``, in seconds since 1970."""
        return self._claims.iat

    @property
    def expires_at(self) -> float:
        """``exp``, in seconds since 1970."""
        return self._claims.exp

    @property
    def position(self) -> Position | None:
        """Where in the authority's log the token was minted."""
        return self._claims.position

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the token's SHA-256: names it in logs without being it."""
        return fingerprint(self._token)

    def may(self, permission: str) -> bool:
        """Whether a permission is granted, by its own name or by one that ends in ``*``."""
        if permission in self.permissions or "*" in self.permissions:
            return True
        parts = permission.split(":")
        return any(":".join((*parts[:end], "*")) in self.permissions for end in range(1, len(parts)))

    def require(self, rule: Requirement) -> None:
        """Hold a rule about an object against this caller, where the object is known; raise what it refuses with."""
        refusal = rule.refusal(self)
        if self._note is not None:
            self._note(self, rule, refusal)
        if refusal is not None:
            raise refusal

    def __repr__(self) -> str:
        return f"Caller(subject={self.subject!r}, client={self.client!r}, roles={sorted(self.roles)})"


Note = Callable[[Caller, Requirement, Refused | None], None]


@final
class Data:
    """What another client sent through the authority: a verified data token. It has no public constructor."""

    __slots__ = ("_claims", "content")

    content: Mapping[str, Any]
    _claims: DataClaims

    def __init__(self) -> None:
        raise TypeError("Data comes from Verifier.verify_data or Guard.data, never from a constructor")

    @classmethod
    def _verified(cls, claims: DataClaims) -> "Data":
        data = object.__new__(cls)
        data._claims = claims
        data.content = MappingProxyType(claims.data)
        return data

    @property
    def client(self) -> str:
        """``sub``: the client whose data this is."""
        return self._claims.sub

    @property
    def token_id(self) -> str | None:
        """``jti``: keep it until ``expires_at`` where the same data must not be taken twice."""
        return _or_none(self._claims.jti)

    @property
    def issued_at(self) -> float:
        """``iat``, in seconds since 1970."""
        return self._claims.iat

    @property
    def expires_at(self) -> float:
        """``exp``, in seconds since 1970."""
        return self._claims.exp

    @property
    def position(self) -> Position | None:
        """Where in the authority's log the token was minted."""
        return self._claims.position

    def __repr__(self) -> str:
        return f"Data(client={self.client!r}, members={sorted(self.content)})"


def fingerprint(token: str) -> str:
    """The first 16 hex digits of a token's SHA-256."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()[:16]


def _or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
