"""joserfc: an imported key and a registry of claims."""

from joserfc import jwt
from joserfc.jwk import import_key

from bench.peers import Material, Variants


def prepare(material: Material) -> Variants:
    """``key``."""
    key = import_key(dict(material["jwk"]))
    algorithms = [material["algorithm"]]
    claims = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": material["issuer"]},
        aud={"essential": True, "value": material["audience"]},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        jti={"essential": True},
    )

    def with_key(token: str) -> object:
        decoded = jwt.decode(token, key, algorithms)
        claims.validate(decoded.claims)
        return decoded

    return {"key": with_key}
