"""Who the caller is: values that exist only because a token was verified."""

import hashlib
import math
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, NoReturn, Protocol, Self, final

import msgspec
from msgspec import UnsetType

from watchword.core.claims import Claims, DataClaims
from watchword.core.compact import payload_of
from watchword.core.cutoffs import Position
from watchword.errors import Refused, Stale


class Requirement(Protocol):
    """A rule that can be held against a caller."""

    def refusal(self, caller: "Caller") -> Refused | None:
        """None if the caller satisfies the rule, or the refusal that names what is missing."""


class Showing(Protocol):
    """A verified token as somebody showed it: its text, and who is told of the rules that are held against it."""

    @property
    def token(self) -> str:
        """The token's text."""

    def stands(self, bound: float) -> Refused | None:
        """Whether the token stands (None) by what is known now, at most ``bound`` seconds old; or why not."""

    async def gone(self) -> Refused:
        """Wait until the token stands no more; why."""

    def renew(self, token: str | bytes) -> "Caller":
        """Let the connection that is open by the token live by a fresh one from now on; raise `Refused`."""

    def decided(self, rule: Requirement, refusal: Refused | None) -> None:
        """A handler held this rule against the caller: it is satisfied (None), or this refusal is raised."""


@final
class Text:
    """A token that was verified by itself: nobody is told of anything."""

    __slots__ = ("token",)

    def __init__(self, token: str) -> None:
        self.token = token

    def stands(self, bound: float) -> Refused | None:
        """Nothing is known of revocations: only a rule that takes knowledge of any age is satisfied by that."""
        return None if bound == math.inf else Stale("verified without a guard: nothing is known of revocations")

    async def gone(self) -> Refused:
        """``RuntimeError``: no revocation is ever heard of, and to wait for the expiry alone would look like more."""
        raise RuntimeError("verified without a guard: nobody would hear that the caller is gone")

    def renew(self, token: str | bytes) -> "Caller":  # noqa: ARG002 - the protocol's
        """``RuntimeError``: no connection is open by this token."""
        raise RuntimeError("verified without a guard: no connection is open by this token")

    def decided(self, rule: Requirement, refusal: Refused | None) -> None:
        """Nobody is told."""


class Grant(msgspec.Struct, frozen=True):
    """What a token's roles and scope come to. There are few of these, so that tokens alike share one.

    ``named`` are the roles of the token itself; ``roles`` and ``permissions`` what a service's tables make of them.
    """

    named: frozenset[str]
    roles: frozenset[str]
    permissions: frozenset[str]
    scopes: frozenset[str]


_NOTHING: Final = Grant(frozenset(), frozenset(), frozenset(), frozenset())


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What is asked of a verified token all the time: as little as can be, as guards keep many.

    It stands from ``begins`` until before ``ends``, in seconds since 1970, the leeway for clocks included. ``foreign``
    is whether it is of an issuer beside the service's own authority: who is named alike there is somebody else.
    """

    foreign: ClassVar[bool] = False

    subject: str
    client: str | None
    session: str | None
    token_id: str | None
    issuer: str
    begins: float
    ends: float
    position: Position | None
    grant: Grant

    @classmethod
    def of(cls, claims: Claims, grant: Grant, issuer: str, leeway: float) -> Self:
        """The facts in checked claims; ``issuer`` is one text for all tokens."""
        begins, client, session, token_id = claims.iat, claims.client_id, claims.sid, claims.jti
        if not isinstance(claims.nbf, UnsetType) and claims.nbf > begins:
            begins = claims.nbf
        return cls(
            claims.sub,
            None if isinstance(client, UnsetType) else sys.intern(client),
            None if isinstance(session, UnsetType) else session,
            None if isinstance(token_id, UnsetType) else token_id,
            issuer,
            begins - leeway,
            claims.exp + leeway,
            claims.position,
            grant,
        )


class _Verified:
    """What callers and data have in common.

    They are no structs, although those are made in half the time: whatever writes out structs would write the token.
    """

    __slots__ = ("_facts",)

    _facts: Facts

    def __init__(self) -> None:
        raise TypeError(f"a {type(self).__name__} comes from a Verifier or a Guard, never from a constructor")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} does not change")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} belongs to one process: pass the token on, to be verified there")

    @property
    def issuer(self) -> str:
        """``iss``."""
        return self._facts.issuer

    @property
    def token_id(self) -> str | None:
        """``jti``."""
        return self._facts.token_id

    @property
    def position(self) -> Position | None:
        """Where in the authority's log the token was minted."""
        return self._facts.position


@final
class Caller(_Verified):
    """Who made this request. A value that exists only because a token was verified: it has no public constructor."""

    __slots__ = ("_payload", "_shown")

    _shown: Showing
    _payload: Mapping[str, Any]

    @classmethod
    def _of(cls, facts: Facts, shown: Showing) -> "Caller":
        caller = _new(cls)
        _put_facts(caller, facts)
        _put_shown(caller, shown)
        return caller

    @property
    def subject(self) -> str:
        """``sub``: the user's id, or the client's own where it acts for itself."""
        return self._facts.subject

    @property
    def client(self) -> str | None:
        """``client_id``: the application that the token was issued to."""
        return self._facts.client

    @property
    def session(self) -> str | None:
        """``sid``: the sign-in on one device; None where no user signed in."""
        return self._facts.session

    @property
    def roles(self) -> frozenset[str]:
        """``roles``, and those that the guard's table says they include."""
        return self._facts.grant.roles

    @property
    def permissions(self) -> frozenset[str]:
        """What the guard's table grants to the roles; a permission may end in ``*``."""
        return self._facts.grant.permissions

    @property
    def scopes(self) -> frozenset[str]:
        """``scope``, split: what the client was allowed."""
        return self._facts.grant.scopes

    @property
    def claims(self) -> Mapping[str, Any]:
        """The token's whole payload, read again at the first use: a copy that nobody else has."""
        try:
            return self._payload
        except AttributeError:
            payload = MappingProxyType(payload_of(self._shown.token))
            _put_payload(self, payload)
            return payload

    @property
    def issued_at(self) -> float:
        """``iat``, in seconds since 1970."""
        issued: float = self.claims["iat"]
        return issued

    @property
    def expires_at(self) -> float:
        """``exp``, in seconds since 1970."""
        expires: float = self.claims["exp"]
        return expires

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the token's SHA-256: names it in logs without being it."""
        return fingerprint(self._shown.token)

    def may(self, permission: str) -> bool:
        """Whether a permission is granted, by its own name or by one that ends in ``*``."""
        granted = self._facts.grant.permissions
        if permission in granted or "*" in granted:
            return True
        parts = permission.split(":")
        return any(":".join((*parts[:end], "*")) in granted for end in range(1, len(parts)))

    def require(self, rule: Requirement) -> None:
        """Hold a rule about an object against this caller, where the object is known; raise what it refuses with."""
        refusal = rule.refusal(self)
        self._shown.decided(rule, refusal)
        if refusal is not None:
            raise refusal

    async def gone(self) -> Refused:
        """Wait until this caller stands no more, and give the refusal that says why: for work that goes on meanwhile.

        Revoked, expired, or what the guard knows too old to say. If the caller's connection was given a fresh token
        (`renew`), that counts. On an asyncio event loop; ``RuntimeError`` for a caller that no guard has verified.
        """
        return await self._shown.gone()

    def renew(self, token: str | bytes) -> "Caller":
        """Let this caller's open connection, a WebSocket or a stream, live by a fresh token from now on.

        It gives the caller of the fresh token. `Refused` if that does not stand, is not of the same subject, session
        and client, or does not satisfy the rules that opened the connection; then the connection lives on by the token
        that it has. Call it on the event loop; ``RuntimeError`` if no connection is open.
        """
        return self._shown.renew(token)

    def __repr__(self) -> str:
        return f"Caller(subject={self.subject!r}, client={self.client!r}, roles={sorted(self.roles)})"


@final
class Data(_Verified):
    """What another client sent through the authority: a verified data token. It has no public constructor.

    Keep ``token_id`` until ``expires_at`` where the same data must not be taken twice.
    """

    __slots__ = ("_claims",)

    _claims: DataClaims

    @classmethod
    def _of(cls, claims: DataClaims, issuer: str, leeway: float) -> "Data":
        data = _new(cls)
        _put_facts(data, Facts.of(claims, _NOTHING, issuer, leeway))
        _put_claims(data, claims)
        return data

    @property
    def client(self) -> str:
        """``sub``: the client whose data this is."""
        return self._facts.subject

    @property
    def content(self) -> Mapping[str, Any]:
        """The data itself."""
        return MappingProxyType(self._claims.data)

    @property
    def issued_at(self) -> float:
        """``iat``, in seconds since 1970."""
        return self._claims.iat

    @property
    def expires_at(self) -> float:
        """``exp``, in seconds since 1970."""
        return self._claims.exp

    def __repr__(self) -> str:
        return f"Data(client={self.client!r}, members={sorted(self.content)})"


# The only ways to set what cannot be set: a descriptor's own method is twice as fast as object.__setattr__.
_new = object.__new__
_put_facts = _Verified.__dict__["_facts"].__set__
_put_shown = Caller.__dict__["_shown"].__set__
_put_payload = Caller.__dict__["_payload"].__set__
_put_claims = Data.__dict__["_claims"].__set__


def fingerprint(token: str) -> str:
    """The first 16 hex digits of a token's SHA-256."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()[:16]
