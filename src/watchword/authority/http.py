"""How an endpoint meets HTTP: the row of its route, and strict input."""

import asyncio
import re
from binascii import a2b_base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from watchword.authority.answers import JSON
from watchword.core.caller import Caller
from watchword.core.encoding import NotStrict, json_decode
from watchword.errors import (
    AmbiguousCredentials,
    BodyTooLarge,
    BodyTooSlow,
    InvalidClient,
    InvalidField,
    InvalidRequest,
    Refused,
    UnsupportedMediaType,
)
from watchword.guard.exchange import Receive, Scope
from watchword.guard.rules import Rule

FORM: Final = "application/x-www-form-urlencoded"
BODY_SECONDS: Final = 10.0
"""How long a body may take to come, so that nobody holds connections for nothing."""
MAX_ADDRESS: Final = 64
"""The longest address that is kept: an IPv6 address with the name of an interface."""
_MAX_PARAMETERS: Final = 32
_FORM: Final = FORM.encode()
_JSON: Final = JSON.encode()

Input = TypeVar("Input")
Query = TypeVar("Query")


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of JSON bodies and query strings: what is not known is refused, not passed over."""


class Form(msgspec.Struct, frozen=True):
    """The base of OAuth's form bodies, whose unknown parameters are ignored (RFC 6749 section 3.2)."""

    client_id: str | None = None
    client_secret: str | None = None


class Call(msgspec.Struct, Generic[Input], frozen=True):
    """One request to an endpoint, its input checked."""

    scope: Scope
    parameters: Mapping[str, str]
    """What the path names."""
    input: Input

    @property
    def caller(self) -> Caller:
        """Who calls; only behind a rule that wants somebody."""
        caller: Caller = self.scope["caller"]
        return caller

    @property
    def address(self) -> str:
        """The address that the request came from; a proxy that is believed may pass on a text of any length."""
        client = self.scope.get("client")
        return client[0][:MAX_ADDRESS] if client else ""

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return self.parameters[name]

    def client_credentials(self) -> tuple[str, str | None]:
        """The client's id and secret, from HTTP Basic or from the form (RFC 6749 section 2.3.1), never from both."""
        basic = basic_credentials(self.scope)
        identifier, secret = getattr(self.input, "client_id", None), getattr(self.input, "client_secret", None)
        if basic is None:
            if identifier is None:
                raise InvalidClient("no client credentials")
            return identifier, secret
        if secret is not None or identifier not in (None, basic[0]):
            raise InvalidRequest("client credentials in two places")
        return basic


Endpoint = Callable[[Any, Any], Awaitable[Any]]
"""Takes the authority and its `Call`: each names its own input's type, so the table of routes cannot."""


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table of routes.

    ``takes`` is the type of the body, or of the query string where the method has no body. ``gives`` is the type of
    the answer; None answers 204. The endpoint's docstring is its summary in the OpenAPI document.
    """

    method: str
    path: str
    rule: Rule
    endpoint: Endpoint
    takes: type[Any] | None = None
    gives: Any = None
    status: int = 200

    @property
    def form(self) -> bool:
        """Whether the body is a form, as OAuth's endpoints want it."""
        return self.takes is not None and issubclass(self.takes, Form)

    @property
    def body_optional(self) -> bool:
        """Whether every field of the JSON body has a default, so that no body at all will do."""
        return self.takes is not None and not any(field.required for field in msgspec.structs.fields(self.takes))

    @property
    def has_body(self) -> bool:
        """Whether the input is the body rather than the query string."""
        return self.method in ("POST", "PUT", "PATCH")


class Left(Exception):
    """The client has gone before its request was whole."""


async def read_input(scope: Scope, receive: Receive, route: Route, limit: int) -> Any:
    """The route's input, checked; raise `Refused`, or `Left`. No value of it is ever quoted in a refusal."""
    if not route.has_body:
        return single_query(scope["query_string"], route.takes or Body)
    if scope["query_string"]:
        raise InvalidRequest("this endpoint takes no query string")
    data = await _read_body(receive, limit)
    if route.takes is None:
        if data.strip() not in (b"", b"{}"):
            raise InvalidRequest("this endpoint takes no body")
        return None
    if not data and route.body_optional and not route.form:
        return route.takes()
    kind = next(iter(_fields(scope, b"content-type")), b"").partition(b";")[0].strip().lower()
    if kind != (_FORM if route.form else _JSON):
        raise UnsupportedMediaType(f"the content type is not {FORM if route.form else JSON}")
    if route.form:
        return _convert(_single(data), route.takes, strict=False)
    try:
        value = json_decode(data)
    except NotStrict as why:
        raise InvalidRequest(str(why), reason=str(why)) from None
    return _convert(value, route.takes, strict=True)


def single_query(text: bytes, kind: type[Query]) -> Query:
    """A query string as a struct; `Refused` for what is repeated, unknown or of the wrong form."""
    query: Query = _convert(_single(text), kind, strict=False)
    return query


def basic_credentials(scope: Scope) -> tuple[str, str] | None:
    """User and password of HTTP Basic (RFC 7617), form-decoded as RFC 6749 section 2.3.1 wants it; None for none."""
    fields = _fields(scope, b"authorization")
    if len(fields) > 1:
        raise AmbiguousCredentials("several Authorization fields")
    scheme, _, encoded = fields[0].partition(b" ") if fields else (b"", b"", b"")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = a2b_base64(encoded.strip(), strict_mode=True).decode().partition(":")
    except ValueError:  # no ASCII, no base64 or no UTF-8
        raise InvalidClient("unreadable Basic credentials") from None
    if not colon:
        raise InvalidClient("unreadable Basic credentials")
    return unquote_plus(user), unquote_plus(password)


def _fields(scope: Scope, name: bytes) -> list[bytes]:
    """The values of all header fields of a name, which is in lower case."""
    return [value for each, value in scope["headers"] if each == name]


async def _read_body(receive: Receive, limit: int) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Left
                data += message.get("body", b"")
                if len(data) > limit:
                    raise BodyTooLarge(f"over {limit} bytes", limit=limit)
                if not message.get("more_body", False):
                    return bytes(data)
    except TimeoutError:
        raise BodyTooSlow(f"not whole after {BODY_SECONDS:.0f} s") from None


def _single(data: bytes) -> dict[str, str]:
    """A form or query string whose parameters come once each (RFC 6749 section 3.2)."""
    try:
        pairs = _pairs(data.decode("ascii"))
    except ValueError:
        raise InvalidRequest("not a proper form") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise InvalidRequest("a repeated parameter", reason="a parameter is repeated")
    return values


def _pairs(text: str) -> list[tuple[str, str]]:
    """Names and values in their order; ``ValueError`` for what is no proper form."""
    if "%" in text or "+" in text:
        return parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_PARAMETERS, errors="strict"
        )
    if not text:
        return []
    parts = [part.partition("=") for part in text.split("&")]  # nothing is encoded: a tenth of parse_qsl's price
    if len(parts) > _MAX_PARAMETERS or not all(equals for _, equals, _ in parts):
        raise ValueError("not a form")
    return [(name, value) for name, _, value in parts]


def _convert(value: object, kind: type[Any] | None, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as why:
        if isinstance(why.__cause__, Refused):
            raise why.__cause__ from None
        raise invalid_field(str(why)) from None


def invalid_field(message: str) -> InvalidField:
    """A refusal that names the field and what it should be, made from msgspec's message without any value in it."""
    reason, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    if named := re.search(r"(?:unknown|required) field `([A-Za-z0-9_.-]{1,40})`", reason):
        field = f"{field}.{named[1]}" if field else named[1]
    if "Invalid enum value" in reason:
        reason = "not one of the values that are known"
    elif "unknown field" in reason:
        reason = "there is no such field"
    elif "required field" in reason:
        reason = "the field is missing"
    return InvalidField(f"{field}: {reason}", field=field or "body", reason=reason)
