"""jwcrypto: a JWK and the claims to check."""

from jwcrypto.jwk import JWK
from jwcrypto.jwt import JWT

from bench.peers import Material, Variants


def prepare(material: Material) -> Variants:
    """``key``."""
    key = JWK(**material["jwk"])
    algorithms = [material["algorithm"]]
    check = {"iss": material["issuer"], "aud": material["audience"], "exp": None, "iat": None, "sub": None, "jti": None}

    def with_key(token: str) -> object:
        return JWT(jwt=token, key=key, algs=algorithms, check_claims=check, expected_type="JWS").claims

    return {"key": with_key}
