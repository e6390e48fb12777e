// The published peer: npm's oidc-provider with what the measured operations need, everything in its memory.
//
// Like Freehold it signs RS256 with an RSA-2048 key, rotates refresh tokens, and checks a bcrypt hash of cost 10 at the
// sign-in. It prints one line of JSON when it answers.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, password] = process.argv.slice(2);
const find = createRequire(`${modules}/`).resolve;
const { default: Provider } = await import(pathToFileURL(find("oidc-provider")));
const { default: bcrypt } = await import(pathToFileURL(find("bcrypt")));

const CALLBACK = "https://app.example.com/callback";
const API = "https://api.example.com/";
const hash = await bcrypt.hash(password, 10);

const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://localhost:${server.address().port}`;

const signing = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const provider = new Provider(issuer, {
  jwks: { keys: [{ ...signing, kid: "one", use: "sig", alg: "RS256" }] },
  cookies: { keys: ["a key of a server that lives for a minute"] },
  clients: [
    {
      client_id: "machine", client_secret: "machine-secret", grant_types: ["client_credentials"],
      redirect_uris: [], response_types: [], token_endpoint_auth_method: "client_secret_post",
    },
    {
      client_id: "web", client_secret: "web-secret", grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [CALLBACK], response_types: ["code"], token_endpoint_auth_method: "client_secret_post",
    },
  ],
  scopes: ["openid", "offline_access"],
  claims: { openid: ["sub"], email: ["email"], profile: ["name", "nickname", "picture"] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client, code) => code.resource !== undefined,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: async () => true,
      getResourceServerInfo: async () => ({
        scope: "read:orders", audience: API, accessTokenTTL: 3600, accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: id, name: id, nickname: id, picture: "https://example.com/p.png" }),
  }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile email offline_access");
    grant.addResourceScope(API, "read:orders");
    await grant.save();
    return grant;
  },
});

async function form(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

const answer = provider.callback();
server.on("request", async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  const { uid } = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    const page = `<!doctype html><title>Sign in</title><form method="post" action="/interaction/${uid}">
      <input name="username"><input name="password" type="password"><button>Continue</button></form>`;
    response.writeHead(200, { "content-type": "text/html", "content-length": Buffer.byteLength(page) });
    return response.end(page);
  }
  const given = await form(request);
  if (!(await bcrypt.compare(given.get("password") ?? "", hash))) return response.writeHead(401).end();
  return provider.interactionFinished(request, response, { login: { accountId: given.get("username") } });
});

console.log(JSON.stringify({ base_url: issuer }));
