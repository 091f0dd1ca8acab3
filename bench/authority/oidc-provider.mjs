// oidc-provider as its manual sets it up, in memory: access tokens are JWTs (RS256-2048), refresh tokens rotate.
// Arguments: the folder with node_modules, a port, a file for refresh tokens, and how many of them to write into it.
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, port, file, count] = process.argv.slice(2);
const require = createRequire(path.join(folder, "package.json"));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const issuer = `http://127.0.0.1:${port}`;
const resource = "urn:orders";
const scope = "orders:write";
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" };

const provider = new Provider(issuer, {
  jwks: { keys: [key] },
  clients: [
    {
      client_id: "service",
      client_secret: "secret",
      grant_types: ["client_credentials", "refresh_token", "authorization_code"],
      redirect_uris: ["https://client.example/cb"],
    },
  ],
  cookies: { keys: ["a-key-of-the-bench"] },
  rotateRefreshToken: true,
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope,
        audience: resource,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
});

const client = await provider.Client.find("service");
const tokens = [];
for (let number = 0; number < Number(count); number++) {
  const accountId = `user-${number}`;
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addResourceScope(resource, scope);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({ accountId, client, grantId, gty: "authorization_code", resource, scope });
  tokens.push(await token.save());
}
fs.writeFileSync(file, JSON.stringify(tokens));
provider.listen(Number(port), "127.0.0.1");
