"""PyJWT: a key object, and the same with its JWKS client, which finds the key by ``kid`` in a set that it has."""

import jwt

from bench.peers import Material, Variants


def prepare(material: Material) -> Variants:
    """``key`` and ``jwks client``."""
    key = jwt.PyJWK(dict(material["jwk"])).key
    algorithms, issuer, audience = [material["algorithm"]], material["issuer"], material["audience"]
    options = {"require": ["exp", "iat", "iss", "aud", "sub", "jti"]}

    class Client(jwt.PyJWKClient):
        def fetch_data(self) -> dict[str, list[dict[str, str]]]:
            data = {"keys": [material["jwk"]]}
            if self.jwk_set_cache is not None:
                self.jwk_set_cache.put(data)
            return data

    client = Client("https://auth.example/jwks")

    def with_key(token: str) -> object:
        return jwt.decode(token, key, algorithms, options, audience=audience, issuer=issuer)  # type: ignore[arg-type]

    def with_client(token: str) -> object:
        found = client.get_signing_key_from_jwt(token)
        return jwt.decode(token, found, algorithms, options, audience=audience, issuer=issuer)  # type: ignore[arg-type]

    return {"key": with_key, "jwks client": with_client}
