// fast-jwt: without its cache, and with it.
export function prepare({ createVerifier }, { pem, issuer, audience, algorithm }) {
  const options = {
    key: pem,
    algorithms: [algorithm],
    allowedIss: issuer,
    allowedAud: audience,
    requiredClaims: ["exp", "iat", "iss", "aud", "sub", "jti"],
  };
  return {
    key: createVerifier({ ...options, cache: false }),
    cache: createVerifier({ ...options, cache: 1000 }),
  };
}
