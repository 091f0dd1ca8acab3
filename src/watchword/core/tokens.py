"""Mint and verify compact JWS tokens (RFC 7515, RFC 7519, RFC 9068, RFC 8725)."""

import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, final

from msgspec import UNSET, UnsetType

from watchword import errors
from watchword.core.algorithms import ALGORITHMS
from watchword.core.algorithms import algorithm as algorithm_row
from watchword.core.claims import (
    ACCESS_TYPE,
    DATA_TYPE,
    REGISTERED,
    AccessClaims,
    Caller,
    Claims,
    Data,
    DataClaims,
    read_claims,
)
from watchword.core.cutoffs import Position
from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode, json_encode, json_object
from watchword.core.keys import Key, PublicKey
from watchword.core.keyset import KeySet

MAX_TOKEN_BYTES: Final = 64 * 1024
MAX_DATA_BYTES: Final = 4 * 1024
MAX_LEEWAY: Final = timedelta(seconds=60)
_EXCUSABLE: Final = frozenset({"client_id", "jti"})
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3


@final
class Verifier:
    """Verifies tokens of one issuer for one audience, in time that grows with the token's length only.

    ``issuer`` and ``audience`` have no default, as a token for somebody else is no token. ``leeway`` is for clocks and
    at most a minute; ``max_lifetime`` bounds ``exp - iat``. ``algorithms`` narrows what is allowed and cannot be
    empty. ``excused`` names claims (``client_id``, ``jti``) that a foreign issuer may leave out. ``clock`` gives
    seconds since 1970.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: KeySet | PublicKey | Iterable[PublicKey],
        *,
        algorithms: Collection[str] = tuple(ALGORITHMS),
        leeway: timedelta = timedelta(seconds=2),
        max_lifetime: timedelta = timedelta(hours=1),
        max_bytes: int = MAX_TOKEN_BYTES,
        excused: Collection[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not issuer or not audience:
            raise ValueError("issuer and audience are needed, each a text that is not empty")
        if isinstance(algorithms, str) or not algorithms:
            raise ValueError("algorithms is a list that is not empty")
        if not timedelta() <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway is from 0 to {MAX_LEEWAY.seconds} seconds")
        if max_lifetime <= timedelta():
            raise ValueError("max_lifetime is more than 0 seconds")
        if isinstance(excused, str) or not _EXCUSABLE.issuperset(excused):
            raise ValueError(f"only {', '.join(sorted(_EXCUSABLE))} can be excused")
        self.issuer = issuer
        self.audience = audience
        self.keys = _key_set(keys)
        self._algorithms = frozenset(algorithm_row(name).name for name in algorithms)
        self._leeway = leeway.total_seconds()
        self._max_lifetime = max_lifetime.total_seconds()
        self._max_bytes = max_bytes
        self._excused = frozenset(excused)
        self._clock = clock

    def verify(self, token: str | bytes, *, keys: KeySet | None = None) -> Caller:
        """Verify an access token and give its caller; raise `Refused` for anything else, and nothing but that.

        ``keys`` stands in for the verifier's own for this one token.
        """
        text, payload = self._signed_payload(token, ACCESS_TYPE, keys)
        claims = read_claims(payload, AccessClaims, self._excused)
        self._check(claims)
        return Caller._verified(claims, payload, text)

    def verify_data(self, token: str | bytes, *, keys: KeySet | None = None) -> Data:
        """Verify a data token and give its content; raise `Refused` for anything else."""
        _, payload = self._signed_payload(token, DATA_TYPE, keys)
        claims = read_claims(payload, DataClaims, self._excused)
        self._check(claims)
        return Data._verified(claims)

    def _signed_payload(self, token: str | bytes, kind: str, keys: KeySet | None) -> tuple[str, dict[str, Any]]:
        data = _token_bytes(token, self._max_bytes)
        signed, header_text, payload_text, signature_text = _split(data)
        header, body, signature = _json_segment(header_text), _segment(payload_text), _segment(signature_text)
        key = self._key(header, self.keys if keys is None else keys)
        if not key.verify(signature, signed):
            raise errors.BadSignature("the signature does not match")
        _check_type(header, kind)
        return data.decode(), _json(body)

    def _key(self, header: Mapping[str, Any], keys: KeySet) -> PublicKey:
        name, kid = header.get("alg"), header.get("kid")
        if "crit" in header or "b64" in header:
            raise errors.Malformed("crit and b64 are not supported")
        if not isinstance(name, str) or name not in self._algorithms:
            raise errors.AlgorithmNotAllowed("the header's alg is not on the list")
        if not isinstance(kid, str):
            raise errors.UnknownKey("the header names no kid")
        key = keys.find(kid)
        if key.algorithm != name:
            raise errors.AlgorithmNotAllowed("the header's alg is not the key's")
        return key

    def _check(self, claims: Claims) -> None:
        now = self._clock()
        if claims.iss != self.issuer:
            raise errors.WrongIssuer("iss is another issuer")
        if self.audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise errors.WrongAudience("aud does not name this audience")
        if claims.exp <= claims.iat:
            raise errors.InvalidClaim("exp is not after iat")
        if claims.exp - claims.iat > self._max_lifetime:
            raise errors.LifetimeTooLong(f"lives longer than {self._max_lifetime:.0f} s")
        if claims.cnf is not UNSET:
            raise errors.TokenBound("cnf is present")
        not_before = claims.iat if isinstance(claims.nbf, UnsetType) else max(claims.iat, claims.nbf)
        if not_before > now + self._leeway:
            raise errors.NotYetValid("iat or nbf lies in the future")
        if now >= claims.exp + self._leeway:
            raise errors.Expired(f"expired {now - claims.exp:.0f} s ago")


@final
class Issuer:
    """Mints tokens under one issuer name with one key.

    What may go into a token is declared: the parameters of `mint`, and the operator's own claims listed in ``claims``
    by name. ``lifetime`` is the default of access tokens. ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        issuer: str,
        key: Key,
        *,
        lifetime: timedelta = timedelta(seconds=300),
        claims: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.lifetime = lifetime
        self._key = key
        self._claims = frozenset(claims)
        self._clock = clock
        if not issuer or lifetime < timedelta(seconds=1):
            raise ValueError("issuer is not empty, and lifetime is at least 1 second")
        if taken := self._claims & REGISTERED:
            raise ValueError(f"these claims have a meaning already: {', '.join(sorted(taken))}")

    def mint(
        self,
        *,
        subject: str,
        audience: str,
        client: str,
        roles: Iterable[str] = (),
        scope: Iterable[str] = (),
        session: str | None = None,
        position: Position | None = None,
        claims: Mapping[str, object] | None = None,
        lifetime: timedelta | None = None,
        issued_at: float | None = None,
        not_before: float | None = None,
        token_id: str | None = None,
    ) -> str:
        """Mint an access token (RFC 9068).

        ``position`` is the head of the snapshot in which the credential was read. ``issued_at`` and ``not_before`` are
        in seconds since 1970 and minted whole, as verifiers in the field refuse fractions. ``claims`` takes declared
        names only. ``ValueError`` for what must not be minted.
        """
        own = dict(claims or {})
        if undeclared := own.keys() - self._claims:
            raise ValueError(f"undeclared claims: {', '.join(sorted(undeclared))}")
        payload = self._common(subject, audience, client, position, lifetime, issued_at, token_id)
        payload["roles"] = sorted(_texts(roles))
        if scopes := sorted(_texts(scope)):
            if not all(_SCOPE.fullmatch(name) for name in scopes):
                raise ValueError("a scope is printable ASCII without spaces, quotes and back slashes")
            payload["scope"] = " ".join(scopes)
        if session is not None:
            payload["sid"] = session
        if not_before is not None:
            payload["nbf"] = _whole(math.ceil, not_before)
        return self._signed(payload | own, ACCESS_TYPE, AccessClaims)

    def mint_data(
        self,
        *,
        client: str,
        audience: str,
        data: Mapping[str, object],
        position: Position | None = None,
        lifetime: timedelta | None = None,
        issued_at: float | None = None,
        token_id: str | None = None,
    ) -> str:
        """Mint a data token: a client's data for one other service, at most 4 KiB of JSON."""
        if len(json_encode(dict(data))) > MAX_DATA_BYTES:
            raise ValueError(f"the data is over {MAX_DATA_BYTES} bytes")
        payload = self._common(client, audience, client, position, lifetime, issued_at, token_id)
        return self._signed(payload | {"data": dict(data)}, DATA_TYPE, DataClaims)

    def _common(
        self,
        subject: str,
        audience: str,
        client: str,
        position: Position | None,
        lifetime: timedelta | None,
        issued_at: float | None,
        token_id: str | None,
    ) -> dict[str, object]:
        issued = _whole(math.floor, self._clock() if issued_at is None else issued_at)
        lasting = math.ceil((self.lifetime if lifetime is None else lifetime).total_seconds())
        if lasting < 1:
            raise ValueError("a token lives at least 1 second")
        payload: dict[str, object] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client,
            "iat": issued,
            "exp": issued + lasting,
            "jti": secrets.token_urlsafe(16) if token_id is None else token_id,
        }
        if position is not None:
            payload["wwd_pos"] = str(position)
        return payload

    def _signed(self, payload: dict[str, object], kind: str, shape: type[Claims]) -> str:
        body = json_encode(payload)
        try:  # what we would refuse, we do not mint; so the text is read, not the values that it was made from
            read_claims(json_object(body), shape, frozenset())
        except errors.InvalidClaim as invalid:
            raise ValueError(invalid.detail) from None
        header = {"alg": self._key.algorithm, "kid": self._key.kid, "typ": kind}
        signed = f"{b64url_encode(json_encode(header))}.{b64url_encode(body)}"
        token = f"{signed}.{b64url_encode(self._key.sign(signed.encode()))}"
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError(f"the token is over {MAX_TOKEN_BYTES} bytes")
        return token


def read_unverified(token: str | bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nobody has verified: to look at, never to believe; `Malformed` otherwise."""
    _, header, payload, signature = _split(_token_bytes(token, MAX_TOKEN_BYTES))
    _segment(signature)
    return _json_segment(header), _json_segment(payload)


def _token_bytes(token: str | bytes, limit: int) -> bytes:
    if len(token) > limit:
        raise errors.Malformed(f"over {limit} bytes")
    if isinstance(token, bytes):
        return token
    try:
        return token.encode("ascii")
    except UnicodeEncodeError:
        raise errors.Malformed("characters outside ASCII") from None


def _split(token: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """The signed bytes, and the three segments of a compact JWS (RFC 7515 section 7.1)."""
    segments = token.split(b".", 3)
    if len(segments) != 3 or not all(segments):
        raise errors.Malformed("not three segments")
    header, payload, signature = segments
    return token[: len(header) + 1 + len(payload)], header, payload, signature


def _segment(text: bytes) -> bytes:
    try:
        return b64url_decode(text)
    except NotStrict as why:
        raise errors.Malformed(str(why)) from None


def _json_segment(text: bytes) -> dict[str, Any]:
    return _json(_segment(text))


def _json(data: bytes) -> dict[str, Any]:
    try:
        return json_object(data)
    except NotStrict as why:
        raise errors.Malformed(str(why)) from None


def _check_type(header: Mapping[str, Any], kind: str) -> None:
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") != kind:
        raise errors.WrongType(f"typ is not {kind}")


def _key_set(keys: KeySet | PublicKey | Iterable[PublicKey]) -> KeySet:
    if isinstance(keys, KeySet):
        return keys
    return KeySet([keys] if isinstance(keys, PublicKey) else keys)


def _whole(rounded: Callable[[float], int], seconds: float) -> int:
    if not math.isfinite(seconds):
        raise ValueError("a moment is a finite number of seconds")
    return rounded(seconds)


def _texts(values: Iterable[str]) -> set[str]:
    if isinstance(values, str):
        raise ValueError("a list of texts is needed, not one text")
    return set(values)
