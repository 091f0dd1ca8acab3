"""Verify tokens: the form, the key, the signature, the kind, the claims, in this order (RFC 8725)."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar, final

from msgspec import UNSET, UnsetType

from watchword import errors
from watchword.core.algorithms import ALGORITHMS
from watchword.core.caller import Caller, Data, Facts, Text
from watchword.core.claims import ACCESS_TYPE, DATA_TYPE, AccessClaims, Claims, DataClaims, decode_claims
from watchword.core.compact import MAX_TOKEN_BYTES, decode_header, split_token, token_bytes
from watchword.core.encoding import decode_canonical
from watchword.core.grants import Grants
from watchword.core.keys import PublicKey
from watchword.core.keyset import KeySet
from watchword.core.secret import SECRET_ALGORITHMS, SecretKey, SecretKeySet

MAX_LEEWAY: Final = timedelta(seconds=60)
Keys = KeySet | PublicKey | Iterable[PublicKey] | SecretKey | SecretKeySet
_NO_TABLES: Final = Grants({}, {})
_REFUSED_MEMBERS: Final = frozenset({"crit", "b64", "enc"})  # enc makes a JWE of it: RFC 7516 section 9
EXCUSABLE: Final = frozenset({"client_id", "jti"})
_ACCESS: Final = frozenset({ACCESS_TYPE})
_DATA: Final = frozenset({DATA_TYPE})
_Kind = TypeVar("_Kind", bound=Claims)


@final
class Verifier:
    """Verifies tokens of one issuer for one audience, in time that grows with the token's length only.

    ``issuer`` and ``audience`` have no default, as a token for somebody else is no token; of several audiences one is
    enough. ``keys`` are public keys, or secrets that are shared with a foreign issuer, never both. ``leeway`` is for
    clocks and at most a minute; ``max_lifetime`` bounds ``exp - iat``. ``algorithms`` narrows what is allowed and
    cannot be empty. ``excused`` names claims (``client_id``, ``jti``) that a foreign issuer may leave out. ``clock``
    gives seconds since 1970.
    """

    def __init__(
        self,
        issuer: str,
        audience: str | Collection[str],
        keys: Keys,
        *,
        algorithms: Collection[str] | None = None,
        leeway: timedelta = timedelta(seconds=2),
        max_lifetime: timedelta = timedelta(hours=1),
        max_bytes: int = MAX_TOKEN_BYTES,
        excused: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        audiences = _listed(audience)
        if not (_is_name(issuer) and audiences and all(map(_is_name, audiences))):
            raise ValueError("issuer and audience are needed, each a text that is not empty")
        if not timedelta() <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway is from 0 to {MAX_LEEWAY.seconds} seconds")
        if max_lifetime <= timedelta():
            raise ValueError("max_lifetime is more than 0 seconds")
        if isinstance(excused, str) or not EXCUSABLE.issuperset(excused):
            raise ValueError(f"only {', '.join(sorted(EXCUSABLE))} can be excused")
        self.issuer = issuer
        self.audience = audience
        self.keys = _key_set(keys)
        self._algorithms = _allowed(self.keys, algorithms)
        self._leeway = leeway.total_seconds()
        self._max_lifetime = max_lifetime.total_seconds()
        self._max_bytes = max_bytes
        self._audiences: frozenset[object] = frozenset(audiences)
        self._excused = frozenset(excused)
        self._clock = clock

    def verify(self, token: str | bytes, *, keys: KeySet | SecretKeySet | None = None) -> Caller:
        """Verify an access token and give its caller; raise `Refused` for anything else, and nothing but that.

        ``keys`` stands in for the verifier's own for this one token.
        """
        facts = self.facts(token, keys=keys)
        return Caller._of(facts, Text(token if isinstance(token, str) else token.decode()))

    def facts(
        self, token: str | bytes, *, keys: KeySet | SecretKeySet | None = None, grants: Grants = _NO_TABLES
    ) -> Facts:
        """What `verify` makes a caller of, with what a service's tables grant; as it is otherwise."""
        claims = self.claims(token, _ACCESS, self._read_access, keys)
        return Facts.of(claims, grants.of(claims), self.issuer, self._leeway)

    def verify_data(self, token: str | bytes, *, keys: KeySet | SecretKeySet | None = None) -> Data:
        """Verify a data token and give its content; raise `Refused` for anything else."""
        return Data._of(self.claims(token, _DATA, self._read_data, keys), self.issuer, self._leeway)

    def claims(
        self,
        token: str | bytes,
        kinds: frozenset[str],
        read: Callable[[bytes], _Kind],
        keys: KeySet | SecretKeySet | None = None,
    ) -> _Kind:
        """The checked claims of a token whose ``typ`` is one of ``kinds``, as ``read`` takes them from its payload."""
        claims = read(self._signed_payload(token, kinds, self.keys if keys is None else keys))
        self._check(claims)
        return claims

    def _read_access(self, payload: bytes) -> AccessClaims:
        return decode_claims(payload, AccessClaims, self._excused)

    def _read_data(self, payload: bytes) -> DataClaims:
        return decode_claims(payload, DataClaims, self._excused)

    def _signed_payload(self, token: str | bytes, kinds: frozenset[str], keys: KeySet | SecretKeySet) -> bytes:
        signed, header, payload, signature = split_token(token_bytes(token, self._max_bytes))
        # Headers repeat: one that led to a good signature leads straight to its key.
        known = keys.recall(header) if isinstance(keys, KeySet) else None
        key, typ = known or self._read_header(decode_header(header), keys)
        if key.algorithm not in self._algorithms:
            raise errors.AlgorithmNotAllowed("the header's alg is not on the list")
        if not key.verify(decode_canonical(signature), signed):
            raise errors.BadSignature("the signature does not match")
        if known is None and isinstance(keys, KeySet) and isinstance(key, PublicKey):
            keys.remember(header, key, typ)
        if typ not in kinds:
            raise errors.WrongType(f"typ is not {' or '.join(sorted(kinds))}")
        return decode_canonical(payload)

    def _read_header(self, header: Mapping[str, Any], keys: KeySet | SecretKeySet) -> tuple[PublicKey | SecretKey, str]:
        """The key that a header names, and the kind of token, or an empty text."""
        name, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
        if not _REFUSED_MEMBERS.isdisjoint(header):
            raise errors.Malformed("crit, b64 and enc are not supported")
        if not isinstance(name, str) or name not in self._algorithms:
            raise errors.AlgorithmNotAllowed("the header's alg is not on the list")
        if not isinstance(kid, str):
            raise errors.UnknownKey("the header names no kid")
        key = keys.find(kid)
        if key.algorithm != name:
            raise errors.AlgorithmNotAllowed("the header's alg is not the key's")
        return key, typ.lower().removeprefix("application/") if isinstance(typ, str) else ""

    def _check(self, claims: Claims) -> None:
        now = self._clock()
        if claims.iss != self.issuer:
            raise errors.WrongIssuer("iss is another issuer")
        named, wanted = claims.aud, self._audiences
        if named not in wanted if isinstance(named, str) else wanted.isdisjoint(named):
            raise errors.WrongAudience("aud does not name this audience")
        if claims.exp <= claims.iat:
            raise errors.InvalidClaim("exp is not after iat")
        if claims.exp - claims.iat > self._max_lifetime:
            raise errors.LifetimeTooLong(f"lives longer than {self._max_lifetime:.0f} s")
        if claims.cnf is not UNSET:
            raise errors.TokenBound("cnf is present")
        latest = now + self._leeway
        if claims.iat > latest or (not isinstance(claims.nbf, UnsetType) and claims.nbf > latest):
            raise errors.NotYetValid("iat or nbf lies in the future")
        if now >= claims.exp + self._leeway:
            raise errors.Expired(f"expired {now - claims.exp:.0f} s ago")


def _listed(names: object) -> Collection[object]:
    if isinstance(names, str):
        return (names,)
    return names if isinstance(names, Collection) else ()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _key_set(keys: Keys) -> KeySet | SecretKeySet:
    if isinstance(keys, KeySet | SecretKeySet):
        return keys
    if isinstance(keys, SecretKey):
        return SecretKeySet([keys])
    return KeySet([keys] if isinstance(keys, PublicKey) else keys)


def _allowed(keys: KeySet | SecretKeySet, names: Collection[str] | None) -> frozenset[str]:
    """The algorithms that are allowed: of the kind of the keys, and never of both kinds."""
    known = SECRET_ALGORITHMS if isinstance(keys, SecretKeySet) else ALGORITHMS
    if names is None:
        return frozenset(known)
    allowed = frozenset(names)
    if not allowed or not known.keys() >= allowed:
        raise ValueError(f"algorithms is a list that is not empty, of {', '.join(known)}")
    return allowed
