"""The one place where a token may be: the ``Authorization`` field (RFC 6750 section 2.1)."""

import re
from collections.abc import Sequence

from watchword.core.encoding import BASE64URL
from watchword.errors import AmbiguousCredentials, Malformed, NoToken

_CREDENTIALS = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?: +(.*))?", re.DOTALL)
_TOKEN_CHARACTERS = BASE64URL + b"."


def bearer_token(authorization: Sequence[bytes]) -> str:
    """The token in the values of all ``Authorization`` fields of a request.

    `NoToken` for none or another scheme, `AmbiguousCredentials` for several, `Malformed` for what is no token.
    """
    if not authorization:
        raise NoToken("no Authorization field")
    if len(authorization) > 1:
        raise AmbiguousCredentials(f"{len(authorization)} Authorization fields")
    match = _CREDENTIALS.fullmatch(authorization[0].strip(b" \t"))
    if match is None or match[1].lower() != b"bearer" or not match[2]:
        raise NoToken("the Authorization field holds no bearer token")
    token = match[2]
    if b"," in token:
        raise AmbiguousCredentials("several credentials in one field")  # what a proxy makes of two fields
    if token.translate(None, _TOKEN_CHARACTERS):
        raise Malformed("a character that no token of this kind has")
    return token.decode("ascii")
