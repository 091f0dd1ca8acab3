"""webtoken, a binding to Rust with PyJWT's face."""

import webtoken

from bench.peers import Material, Variants


def prepare(material: Material) -> Variants:
    """``key``: a key object where it takes one, and ``pem``."""
    algorithms, issuer, audience = [material["algorithm"]], material["issuer"], material["audience"]
    options = {"require": ["exp", "iat", "iss", "aud", "sub", "jti"]}
    pem, key = material["pem"], webtoken.PyJWK(dict(material["jwk"]))

    def with_key(token: str) -> object:
        return webtoken.decode(token, key, algorithms=algorithms, options=options, audience=audience, issuer=issuer)

    def with_pem(token: str) -> object:
        return webtoken.decode(token, pem, algorithms=algorithms, options=options, audience=audience, issuer=issuer)

    return {"key": with_key, "pem": with_pem}
