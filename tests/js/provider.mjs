// A published OAuth server that tests sign in at: npm's oidc-provider, which lets everybody in as Grace at once.
//
// The one argument is where its client is called back. It prints its address when it answers.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [callback] = process.argv.slice(2);
const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: "freehold", client_secret: "provider-secret-of-the-test", redirect_uris: [callback],
    token_endpoint_auth_method: "client_secret_post",
  }],
  cookies: { keys: ["a key of a server that lives for a minute"] },
  scopes: ["openid", "email", "profile"],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (ctx, id) => ({
    accountId: id, claims: async () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: "Grace" }),
  }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
});
const handle = provider.callback();
server.on("request", async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return handle(request, response);
  await provider.interactionFinished(request, response, { login: { accountId: "grace" } });
});
console.log(issuer);
