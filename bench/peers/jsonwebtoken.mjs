// jsonwebtoken: with a key object, and with the PEM text, which it reads for each token.
import crypto from "node:crypto";

export function prepare(jsonwebtoken, { pem, issuer, audience, algorithm }) {
  const key = crypto.createPublicKey(pem);
  const options = { algorithms: [algorithm], issuer, audience };
  return {
    key: (token) => jsonwebtoken.verify(token, key, options),
    pem: (token) => jsonwebtoken.verify(token, pem, options),
  };
}
