// jose: an imported key. Its verification is asynchronous.
export async function prepare(_, { pem, issuer, audience, algorithm }, { importSPKI, jwtVerify }) {
  const key = await importSPKI(pem, algorithm);
  const options = { algorithms: [algorithm], issuer, audience, requiredClaims: ["exp", "iat", "sub", "jti"] };
  return { key: (token) => jwtVerify(token, key, options) };
}
