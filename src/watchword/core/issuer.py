"""Mint tokens: what is declared goes in, and nothing that a verifier would refuse (RFC 7519, RFC 9068)."""

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from secrets import token_bytes
from typing import Final, final

import msgspec

from watchword import errors
from watchword.core.claims import ACCESS_TYPE, DATA_TYPE, REGISTERED, AccessClaims, Claims, DataClaims, read_claims
from watchword.core.compact import MAX_TOKEN_BYTES
from watchword.core.cutoffs import Position
from watchword.core.encoding import json_encode, json_object
from watchword.core.keys import Key

MAX_DATA_BYTES: Final = 4 * 1024
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3
_LATEST: Final = 2**53  # seconds, as `read_claims` has it


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
        self._headers = {kind: _header(key.algorithm, key.kid, kind) for kind in (ACCESS_TYPE, DATA_TYPE)}
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
        own = dict(claims) if claims else {}
        if own and (undeclared := own.keys() - self._claims):
            raise ValueError(f"undeclared claims: {', '.join(sorted(undeclared))}")
        payload = self._common(subject, audience, client, position, lifetime, issued_at, token_id)
        payload.roles = sorted(_texts(roles))
        if scope != () and (scopes := sorted(_texts(scope))):
            if not all(map(_SCOPE.fullmatch, scopes)):
                raise ValueError("a scope is printable ASCII without spaces, quotes and back slashes")
            payload.scope = " ".join(scopes)
        payload.sid = session
        if not_before is not None:
            payload.nbf = _whole(math.ceil, not_before)
        if own:
            return self._signed(ACCESS_TYPE, _free_text(_members(payload) | own, AccessClaims))
        return self._signed(ACCESS_TYPE, _text(payload))

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
        return self._signed(DATA_TYPE, _free_text(_members(payload) | {"data": dict(data)}, DataClaims))

    def _common(
        self,
        subject: str,
        audience: str,
        client: str,
        position: Position | None,
        lifetime: timedelta | None,
        issued_at: float | None,
        token_id: str | None,
    ) -> "_Payload":
        issued = _whole(math.floor, self._clock() if issued_at is None else issued_at)
        lasting = math.ceil((self.lifetime if lifetime is None else lifetime).total_seconds())
        if lasting < 1:
            raise ValueError("a token lives at least 1 second")
        return _Payload(
            self.issuer,
            subject,
            audience,
            client,
            issued,
            issued + lasting,
            _segment(token_bytes(16)).decode() if token_id is None else token_id,
            None if position is None else str(position),
        )

    def _signed(self, kind: str, body: bytes) -> str:
        signed = self._headers[kind] + _segment(body)
        token = b"%b.%b" % (signed, _segment(self._key.sign(signed)))
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError(f"the token is over {MAX_TOKEN_BYTES} bytes")
        return token.decode()


class _Payload(msgspec.Struct, omit_defaults=True):
    """What a token says, in the order in which it is written and most quickly read (`decode_claims`).

    A None that comes by default is not written.
    """

    iss: str
    sub: str
    aud: str
    client_id: str
    iat: int
    exp: int
    jti: str
    wwd_pos: str | None = None
    sid: str | None = None
    nbf: int | None = None
    roles: list[str] | None = None
    scope: str | None = None


_ALWAYS: Final = frozenset(field.name for field in msgspec.structs.fields(_Payload) if field.required)
_encoder = msgspec.json.Encoder(enc_hook=str.__str__)  # a subclass of str is the text that it holds
_encode_base64 = msgspec.json.Encoder().encode  # a fifth faster than binascii's


@lru_cache(256)  # an authority has a new issuer for each token, and few keys
def _header(algorithm: str, kid: str, kind: str) -> bytes:
    """The first segment and its dot."""
    return _segment(json_encode({"alg": algorithm, "kid": kid, "typ": kind})) + b"."


def _segment(data: bytes) -> bytes:
    return _encode_base64(data).strip(b'"=').replace(b"+", b"-").replace(b"/", b"_")


def _members(payload: _Payload) -> dict[str, object]:
    """The payload as it would be written."""
    return {
        name: value for name, value in msgspec.structs.asdict(payload).items() if value is not None or name in _ALWAYS
    }


def _text(payload: _Payload) -> bytes:
    """The JSON of claims that all have a meaning here: their types say that no value changes on its way into text."""
    if _is_plain(payload):
        return _encoder.encode(payload)
    members = _members(payload)
    _check(members, AccessClaims)
    return _encoder.encode(members)


def _is_plain(payload: _Payload) -> bool:
    """Whether `_check` would surely find nothing, said in half its time. False says nothing: then it has to look.

    A sum of lengths stands for each of them, printable text for text without control characters, and exact types for
    what cannot lie about its length.
    """
    issuer, audience, subject, client, token_id = payload.iss, payload.aud, payload.sub, payload.client_id, payload.jti
    session = "-" if payload.sid is None else payload.sid
    issued, expires, not_before = payload.iat, payload.exp, payload.nbf
    if not (type(issuer) is type(audience) is type(subject) is type(client) is type(token_id) is type(session) is str):
        return False
    named = f"{subject}{client}{token_id}{session}"
    if not (audience and subject and client and token_id and session and len(named) <= 255 and named.isprintable()):
        return False
    if not (type(issued) is type(expires) is int and 0 <= issued < expires <= _LATEST):
        return False
    if not_before is not None and not (type(not_before) is int and 0 <= not_before <= _LATEST):
        return False
    try:
        "".join(payload.roles or ())
        if payload.wwd_pos is not None:
            Position.parse(payload.wwd_pos)
    except (TypeError, ValueError):
        return False
    return True


def _free_text(payload: dict[str, object], shape: type[Claims]) -> bytes:
    """The JSON of claims of which some are anything: the text is read, not the values that it was made from."""
    body = json_encode(payload)
    _check(json_object(body), shape)
    return body


def _check(payload: dict[str, object], shape: type[Claims]) -> None:
    """What we would refuse, we do not mint."""
    try:
        read_claims(payload, shape, frozenset())
    except errors.InvalidClaim as invalid:
        raise ValueError(invalid.detail) from None


def _whole(rounded: Callable[[float], int], seconds: float) -> int:
    if not math.isfinite(seconds):
        raise ValueError("a moment is a finite number of seconds")
    return rounded(seconds)


def _texts(values: Iterable[str]) -> set[str]:
    if isinstance(values, str):
        raise ValueError("a list of texts is needed, not one text")
    return set(values)
