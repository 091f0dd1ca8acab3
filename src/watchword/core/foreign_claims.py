"""What a token of another issuer says, in our words: where its names stand, and what they mean here.

Other issuers put roles where they like, and their names are their own: `admin` there is nobody here. So names mean
something only where a table says so.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Final, Self, final

import msgspec

from watchword.core.caller import Facts, Grant
from watchword.core.claims import Claims, read_claims
from watchword.core.compact import strict_object
from watchword.core.grants import Grants
from watchword.errors import InvalidClaim, WrongType

Path = tuple[str, ...]
"""The members of a payload that lead to a value, from the outermost on."""

_KEPT: Final = ("iss", "sub", "aud", "iat", "exp", "nbf", "jti", "sid", "cnf")
_OF_OTHER_KINDS: Final = frozenset({"at_hash", "c_hash", "events", "nonce", "s_hash"})  # ID tokens, security events
_KINDS: Final = {"typ": frozenset({"bearer", "at+jwt"}), "token_use": frozenset({"access"})}  # where they say so
_LIMIT: Final = 1024  # combinations of names that are kept


class ForeignClaims(Claims, frozen=True, kw_only=True):
    """The claims of another issuer's access token; a position that it may carry is not among them."""

    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


class ForeignFacts(Facts, frozen=True, gc=False):
    """The facts of another issuer's token, which is ordered against its cutoffs by ``iat`` alone."""

    foreign: ClassVar[bool] = True

    issued: float

    @classmethod
    def of(cls, claims: Claims, grant: Grant, issuer: str, leeway: float) -> Self:
        """The facts in checked claims."""
        plain = Facts.of(claims, grant, issuer, leeway)
        return cls(**msgspec.structs.asdict(plain), issued=claims.iat)


class Places(msgspec.Struct, frozen=True):
    """Where another issuer's tokens have the client, and their names of roles, scopes and permissions."""

    client: Path
    roles: tuple[Path, ...]
    scopes: tuple[Path, ...]
    permissions: tuple[Path, ...]

    def read(self, body: bytes, excused: frozenset[str]) -> ForeignClaims:
        """Check a payload; raise `Malformed`, `InvalidClaim`, or `WrongType` for what is no access token."""
        payload = strict_object(body)
        _check_kind(payload)
        members: dict[str, object] = {name: payload[name] for name in _KEPT if name in payload}
        client = _at(self.client, payload)
        if client is not None:
            members["client_id"] = client
        members["roles"] = _names(self.roles, payload)
        members["scopes"] = _names(self.scopes, payload, split=True)
        members["permissions"] = _names(self.permissions, payload)
        return read_claims(members, ForeignClaims, excused)


@final
class ForeignGrants:
    """What another issuer's names come to here.

    Each table takes one of its names to ours; a name that is in none means nothing. ``keep`` takes roles and scopes
    that are in no table as they are. ``grants`` are the service's own tables.
    """

    __slots__ = ("_granted", "_grants", "_keep", "_permissions", "_roles", "_scopes")

    def __init__(
        self,
        grants: Grants,
        *,
        roles: Mapping[str, frozenset[str]],
        scopes: Mapping[str, frozenset[str]],
        permissions: Mapping[str, frozenset[str]],
        keep: bool,
    ) -> None:
        self._grants = grants
        self._roles = roles
        self._scopes = scopes
        self._permissions = permissions
        self._keep = keep
        self._granted: dict[tuple[tuple[str, ...], ...], Grant] = {}

    def of(self, claims: ForeignClaims) -> Grant:
        """What a verified token comes to here; its ``named`` roles are its issuer's own."""
        key = (claims.roles, claims.scopes, claims.permissions)
        grant = self._granted.get(key)
        if grant is None:
            if len(self._granted) >= _LIMIT:
                self._granted.clear()
            grant = self._granted[key] = self._work_out(claims)
        return grant

    def _work_out(self, claims: ForeignClaims) -> Grant:
        roles = self._grants.roles(_translated(claims.roles, self._roles, keep=self._keep))
        permissions = _translated(claims.permissions, self._permissions, keep=False)  # or "*" there were all here
        return Grant(
            frozenset(claims.roles),
            roles,
            self._grants.permissions(roles) | permissions,
            _translated(claims.scopes, self._scopes, keep=self._keep),
        )


def _translated(names: Iterable[str], table: Mapping[str, frozenset[str]], *, keep: bool) -> frozenset[str]:
    return frozenset().union(*(table.get(name, (name,) if keep else ()) for name in names))


def _check_kind(payload: Mapping[str, object]) -> None:
    """Raise `WrongType` for what is no access token: the header does not tell, where it says ``JWT`` or nothing.

    Keycloak writes the kind into the payload as ``typ``, and Amazon Cognito as ``token_use``.
    """
    if not _OF_OTHER_KINDS.isdisjoint(payload):
        raise WrongType("a claim that only ID tokens and security events have")
    for name, access in _KINDS.items():
        kind = payload.get(name)
        if name in payload and not (isinstance(kind, str) and kind.lower() in access):
            raise WrongType(f"{name} in the payload does not say that it is an access token")


def _at(path: Path, payload: Mapping[str, object]) -> object:
    """What stands there; None for nothing."""
    value: object = payload
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _names(paths: Iterable[Path], payload: Mapping[str, object], *, split: bool = False) -> tuple[str, ...]:
    """The names in all of these places: each holds a list of texts, or one text, which for scopes may hold several."""
    found: dict[str, None] = {}
    for path in paths:
        value = _at(path, payload)
        if isinstance(value, str):
            value = value.split() if split else [value]
        elif value is None:
            continue
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise InvalidClaim(f"the claim {' > '.join(path)} holds no names")
        found |= dict.fromkeys(filter(None, value))
    return tuple(found)
