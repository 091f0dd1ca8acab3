// oidc-provider in memory, as a foreign issuer: access tokens are JWTs, and one refresh token is for Ada.
// Arguments: the folder with node_modules, a port, a file of private keys (the first one signs), a file for the token.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, port, keys, file] = process.argv.slice(2);
const require = createRequire(path.join(folder, "package.json"));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const resource = "urn:orders";
const scope = "openid orders:write";
const jwks = JSON.parse(fs.readFileSync(keys));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks,
  clients: [
    {
      client_id: "portal",
      client_secret: "secret",
      grant_types: ["client_credentials", "refresh_token", "authorization_code"],
      redirect_uris: ["https://portal.example/cb"],
      id_token_signed_response_alg: jwks.keys[0].alg,
    },
  ],
  cookies: { keys: ["a-key-of-the-tests"] },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: (_, token) =>
    token.accountId && {
      realm_access: { roles: ["order-manager", "admin"] },
      "https://partner.example/groups": ["staff"],
      wwd_pos: "of nothing",
    },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "orders:write",
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: jwks.keys[0].alg } },
      }),
    },
  },
});

const client = await provider.Client.find("portal");
const accountId = "ada";
const grant = new provider.Grant({ accountId, clientId: client.clientId });
grant.addOIDCScope("openid");
grant.addResourceScope(resource, "orders:write");
const grantId = await grant.save();
const token = new provider.RefreshToken({ accountId, client, grantId, gty: "authorization_code", resource, scope });
fs.writeFileSync(file, await token.save());
provider.listen(Number(port), "127.0.0.1");
