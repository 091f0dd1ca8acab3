"""A service's own tokens: client credentials (RFC 6749 section 4.4), kept and renewed in time, and data tokens."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final
from urllib.parse import urlencode

from watchword.core.encoding import NotStrict, json_encode, json_object
from watchword.forks import tell_when_forked
from watchword.transport import Address, Connection, Credentials, Reply, TransportError

_ANSWER_TIME = 10.0  # seconds that the authority may take
_MAX_BYTES = 1024 * 1024
_MARGIN = 30.0  # seconds before its end at which a token is renewed, or a fifth of its life if that is less
_RETRY = 5.0  # seconds until renewal is tried again while the old token still stands
UNREACHABLE: Final = "unreachable"


class AuthorityError(Exception):
    """The authority refused, or gave no answer that can be used.

    ``code`` is the authority's own (``invalid_client``, ``invalid_target``, …), ``unreachable``, or
    ``unexpected_answer``; ``status`` is the HTTP status, None without an answer. It never holds a secret.
    """

    def __init__(self, code: str, status: int | None, detail: str) -> None:
        self.code = code
        self.status = status
        super().__init__(f"{code}: {detail}" if detail else code)


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    renew_at: float
    ends_at: float


@final
class ServiceClient:
    """A service's identity towards other services: a token for ``audience``, always a fresh one.

    The credentials are by default those of ``WATCHWORD_CLIENT_ID`` and ``WATCHWORD_CLIENT_SECRET`` (or ``…_FILE``),
    read at the first use. ``issuer`` is the authority's name in tokens where it differs from its URL. Safe to share
    among threads: one of them asks, the others wait. The constructor does no I/O.
    """

    def __init__(
        self,
        authority: str,
        *,
        audience: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        issuer: str | None = None,
        unsafely_allow_plain_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not audience:
            raise ValueError("audience names the service to call, a text that is not empty")
        self.audience = audience
        self._issuer = authority if issuer is None else issuer
        self._address = Address.parse(authority, plain_http_anywhere=unsafely_allow_plain_http)
        self._credentials = Credentials.later(client_id, client_secret)
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        tell_when_forked(self)

    def token(self) -> str:
        """An access token that will stand for a while yet; blocks while a new one is fetched. `AuthorityError`."""
        return self._token(self.audience)

    async def atoken(self) -> str:
        """`token` for coroutines: what has to be fetched is fetched in a thread."""
        kept = self._fresh(self.audience)
        return kept.token if kept is not None else await asyncio.to_thread(self.token)

    def bearer(self) -> dict[str, str]:
        """The header field that carries `token`."""
        return {"Authorization": f"Bearer {self.token()}"}

    async def abearer(self) -> dict[str, str]:
        """The header field that carries `atoken`."""
        return {"Authorization": f"Bearer {await self.atoken()}"}

    def data_token(self, audience: str, data: Mapping[str, object]) -> str:
        """A data token: ``data`` (4 KiB of JSON at most) signed by the authority for one other service."""
        body = json_encode({"audience": audience, "data": dict(data)})
        try:
            return self._signed(body)
        except AuthorityError as refused:
            if refused.status != 401:
                raise
        self._kept = {name: kept for name, kept in self._kept.items() if name != self._issuer}
        return self._signed(body)  # our own token may have been revoked since it was fetched: once more with a new one

    async def adata_token(self, audience: str, data: Mapping[str, object]) -> str:
        """`data_token` for coroutines."""
        return await asyncio.to_thread(self.data_token, audience, data)

    def forget(self) -> None:
        """Drop what is kept, after a 401: the next token is a new one."""
        self._kept = {}

    def _signed(self, body: bytes) -> str:
        headers = {"Authorization": f"Bearer {self._token(self._issuer)}", "Content-Type": "application/json"}
        return _text(self._post("/data-tokens", headers, body), "data_token")

    def _fresh(self, audience: str) -> _Kept | None:
        kept = self._kept.get(audience)
        return kept if kept is not None and self._clock() < kept.renew_at else None

    def _token(self, audience: str) -> str:
        kept = self._fresh(audience)
        if kept is None:
            with self._lock:  # whoever waited here finds what the one before has fetched
                kept = self._fresh(audience) or self._renewed(audience)
        return kept.token

    def _renewed(self, audience: str) -> _Kept:
        old, asked = self._kept.get(audience), self._clock()
        try:
            kept = self._fetch(audience, asked)
        except AuthorityError:
            if old is None or asked >= old.ends_at:
                raise
            kept = _Kept(old.token, asked + _RETRY, old.ends_at)
        self._kept = {**self._kept, audience: kept}
        return kept

    def _fetch(self, audience: str, asked: float) -> _Kept:
        credentials = self._credentials()
        if credentials is None:
            raise AuthorityError("invalid_client", None, "no client credentials were given")
        form = urlencode({"grant_type": "client_credentials", "audience": audience}).encode()
        headers = {"Authorization": credentials.basic, "Content-Type": "application/x-www-form-urlencoded"}
        answer = self._post("/token", headers, form)
        lasting = answer.get("expires_in")
        if not isinstance(lasting, int | float) or lasting <= 0:
            raise AuthorityError("unexpected_answer", 200, "expires_in is missing or no number of seconds")
        return _Kept(_text(answer, "access_token"), asked + lasting - min(_MARGIN, lasting / 5), asked + lasting)

    def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, object]:
        connection = Connection(self._address, max_bytes=_MAX_BYTES)
        try:
            reply = connection.request(
                "POST", path, headers={"Accept": "application/json", **headers}, body=body, seconds=_ANSWER_TIME
            )
        except TransportError as why:
            raise AuthorityError(UNREACHABLE, None, str(why)) from None
        finally:
            connection.close()
        return _answer(reply)

    def _forked(self) -> None:
        self._lock = threading.Lock()  # a thread that held it does not run in the child

    def __repr__(self) -> str:
        return f"ServiceClient({self._issuer!r}, audience={self.audience!r})"


def _answer(reply: Reply) -> dict[str, object]:
    try:
        members = json_object(reply.body)
    except NotStrict:
        members = {}
    if reply.status in (200, 201):
        return members
    code = members.get("error", members.get("code"))
    named = isinstance(code, str) and code.isascii() and code.isidentifier()
    raise AuthorityError(str(code) if named else "unexpected_answer", reply.status, f"answered {reply.status}")


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise AuthorityError("unexpected_answer", 200, f"{name} is missing")
    return value
