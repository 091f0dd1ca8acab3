"""Authlib's own ``jose`` module, which it has announced to give up for joserfc."""

import io
from contextlib import redirect_stderr

from bench.peers import Material, Variants

with redirect_stderr(io.StringIO()):  # the announcement, which it insists on
    from authlib.jose import JsonWebKey, JsonWebToken


def prepare(material: Material) -> Variants:
    """``key``."""
    key = JsonWebKey.import_key(dict(material["jwk"]))
    reader = JsonWebToken([material["algorithm"]])
    options = {
        "iss": {"essential": True, "value": material["issuer"]},
        "aud": {"essential": True, "value": material["audience"]},
        "exp": {"essential": True},
        "iat": {"essential": True},
        "sub": {"essential": True},
        "jti": {"essential": True},
    }

    def with_key(token: str) -> object:
        claims = reader.decode(token, key, claims_options=options)
        claims.validate()
        return claims

    return {"key": with_key}
