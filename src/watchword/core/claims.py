"""What a token says, checked: the claims of access tokens (RFC 9068) and of data tokens."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from watchword.core.compact import strict_object
from watchword.core.cutoffs import Position
from watchword.core.encoding import read_back
from watchword.errors import InvalidClaim

ACCESS_TYPE: Final = "at+jwt"
DATA_TYPE: Final = "data+jwt"
REGISTERED: Final = frozenset(
    "iss sub aud exp nbf iat jti client_id scope roles sid cnf wwd_pos data act".split()  # noqa: SIM905
)
"""The claims that have a meaning here; an operator's own claims take other names."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[int, Meta(ge=0, le=2**53)] | Annotated[float, Meta(ge=0, le=2**53)]


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that every token of ours carries, of the right types (RFC 7519 section 4.1)."""

    iss: str
    sub: Identifier
    aud: Annotated[str, Meta(min_length=1)] | Annotated[list[str], Meta(min_length=1)]
    client_id: Identifier | UnsetType = UNSET
    iat: Seconds
    exp: Seconds
    jti: Identifier | UnsetType = UNSET
    wwd_pos: str | UnsetType = UNSET
    sid: Identifier | UnsetType = UNSET
    nbf: Seconds | UnsetType = UNSET
    cnf: Any = UNSET

    @property
    def position(self) -> Position | None:
        """Where in the authority's log the token was minted; None on tokens of other issuers."""
        return None if self.wwd_pos is UNSET else Position.parse(self.wwd_pos)


class AccessClaims(Claims, frozen=True, kw_only=True):
    """The claims of an access token."""

    roles: list[str] = []
    scope: str | UnsetType = UNSET

    @property
    def scopes(self) -> frozenset[str]:
        """``scope``, split."""
        return frozenset() if isinstance(self.scope, UnsetType) else frozenset(self.scope.split(" ")) - {""}


class DataClaims(Claims, frozen=True, kw_only=True):
    """The claims of a data token."""

    data: dict[str, Any]


_Kind = TypeVar("_Kind", bound=Claims)
_decode: Final[Mapping[type[Claims], Callable[[bytes], Any]]] = {
    kind: msgspec.json.Decoder(kind).decode for kind in (AccessClaims, DataClaims)
}


def decode_claims(body: bytes, kind: type[_Kind], excused: frozenset[str]) -> _Kind:
    """Read and check a payload; raise `Malformed` for what is no strict JSON object, and `InvalidClaim`.

    The short way is for the text that our own `Issuer` writes: claims that all have a meaning here, in the order in
    which they stand above.
    """
    claims: _Kind | None = read_back(body, _decode[kind])
    if claims is None:
        return read_claims(strict_object(body), kind, excused)
    _check(claims, excused)
    return claims


def read_claims(payload: Mapping[str, object], kind: type[_Kind], excused: frozenset[str]) -> _Kind:
    """Check the types and sizes of a payload's claims; raise `InvalidClaim`.

    ``client_id`` and ``jti`` are required by RFC 9068 section 2.2, unless they are ``excused`` by name.
    """
    try:
        claims = msgspec.convert(payload, kind)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidClaim(_without_values(str(error))) from None
    _check(claims, excused)
    return claims


def _check(claims: Claims, excused: frozenset[str]) -> None:
    if claims.client_id is UNSET and "client_id" not in excused:
        raise InvalidClaim("the claim client_id is missing")
    if claims.jti is UNSET and "jti" not in excused:
        raise InvalidClaim("the claim jti is missing")
    identifiers = f"{claims.sub}{claims.jti}{claims.client_id}{claims.sid}"
    if not identifiers.isprintable() and _CONTROL.search(identifiers):
        raise InvalidClaim("control characters in one of the claims sub, jti, client_id and sid")
    try:
        claims.position  # noqa: B018 - read for its check
    except ValueError:
        raise InvalidClaim("the claim wwd_pos is no position") from None


def _without_values(message: str) -> str:
    """msgspec names places and types; a key of the payload could still be quoted, so only our own names stay."""
    place = re.search(r"`\$\.?([a-z_]*)", message)
    if place is not None and place[1] in REGISTERED:
        return f"the claim {place[1]} is not of the right type or size"
    missing = re.search(r"required field `([a-z_]+)`", message)
    return f"the claim {missing[1]} is missing" if missing else "a claim is not of the right type"
