// A Node peer's process: reads the material, then runs a batch for each line that names one of its functions.
// Arguments: the peer's file, the package's name, the folder with node_modules.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const BATCH = 10_000; // µs of processor time
const WARM = 300; // ms

const [file, name, folder] = process.argv.slice(2);
const require = createRequire(path.join(folder, "package.json"));
const library = await import(pathToFileURL(require.resolve(name)));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const material = JSON.parse((await lines.next()).value);
const { prepare } = await import(file);
const variants = { bare: bare(material), ...(await prepare(library.default ?? library, material, library)) };
const synchronous = Object.fromEntries(
  await Promise.all(
    Object.entries(variants).map(async ([each, run]) => {
      const result = run(material.tokens[0]);
      await result;
      return [each, !(result instanceof Promise)];
    }),
  ),
);

for (const each of Object.keys(variants)) {
  for (const until = Date.now() + WARM; Date.now() < until; ) await pass(each);
}
const { version } = JSON.parse(fs.readFileSync(path.join(folder, "node_modules", name, "package.json")));
console.log(JSON.stringify({ version, variants: Object.keys(variants) }));
for await (const line of lines) console.log(await batch(line.trim()));

async function pass(each) {
  const run = variants[each];
  if (synchronous[each]) for (const token of material.tokens) run(token);
  else for (const token of material.tokens) await run(token);
}

async function batch(each) {
  const begun = process.cpuUsage();
  for (let passes = 1; ; passes++) {
    await pass(each);
    const { user, system } = process.cpuUsage(begun);
    if (user + system >= BATCH) return ((user + system) * 1000) / passes / material.tokens.length;
  }
}

// The primitive with a prepared key and decoded parts: what Node's own figures are held against.
function bare({ pem, tokens }) {
  const key = crypto.createPublicKey(pem);
  const parts = new Map(
    tokens.map((token) => {
      const end = token.lastIndexOf(".");
      return [token, [Buffer.from(token.slice(0, end)), Buffer.from(token.slice(end + 1), "base64url")]];
    }),
  );
  return (token) => {
    const [data, signature] = parts.get(token);
    if (!crypto.verify("RSA-SHA256", data, key, signature)) throw new Error("the signature does not match");
  };
}
