"""python-jose on its ``cryptography`` backend: a constructed key."""

from jose import jwk, jwt

from bench.peers import Material, Variants


def prepare(material: Material) -> Variants:
    """``key``."""
    key = jwk.construct(material["pem"], material["algorithm"])
    algorithms, issuer, audience = [material["algorithm"]], material["issuer"], material["audience"]
    options = {f"require_{name}": True for name in ("exp", "iat", "iss", "aud", "sub", "jti")}

    def with_key(token: str) -> object:
        return jwt.decode(token, key, algorithms, options, audience=audience, issuer=issuer)

    return {"key": with_key}
