"""Auth0's library for Node and a certified OpenID Connect client for Node: only the domain is another."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.hosted_pages import BrowserSession
from tests.support.node import RunNode
from tests.support.server import LiveServer

pytestmark = pytest.mark.node

MANAGEMENT = """
import { ManagementClient } from 'auth0';
const [domain, clientId, clientSecret, audience] = process.argv.slice(2);
const api = new ManagementClient({ domain, clientId, clientSecret, audience });
const out = {};
const made = await api.clients.create({ name: 'From Node', app_type: 'spa', callbacks: ['https://spa.test/'] });
out.client = made.name;
out.updated = (await api.clients.update(made.client_id, { description: 'x' })).description;
const user = await api.users.create({
  connection: 'Username-Password-Authentication', email: 'node@example.com', password: 'Correct-Horse-Battery-9',
});
out.user = user.email;
const role = await api.roles.create({ name: 'Node role' });
await api.users.roles.assign(user.user_id, { roles: [role.id] });
const roles = [];
for await (const found of await api.users.roles.list(user.user_id)) roles.push(found.name);
out.roles = roles;
const names = [];
for await (const found of await api.clients.list({ per_page: 1 })) names.push(found.name);
out.listed = names.includes('From Node');
out.count = names.length;
try { await api.users.get('auth0|nobody'); } catch (error) { out.missing = error.statusCode; }
await api.users.delete(user.user_id);
await api.clients.delete(made.client_id);
console.log(JSON.stringify(out));
"""

OPENID = """
import * as client from 'openid-client';
const [issuer, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const config = await client.discovery(new URL(issuer), clientId, clientSecret);
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri, scope: 'openid profile email offline_access',
  code_challenge: await client.calculatePKCECodeChallenge(process.argv[6]), code_challenge_method: 'S256',
  state: 'the-state', nonce: 'the-nonce',
});
if (process.argv[7] === undefined) {
  console.log(JSON.stringify({ url: url.href }));
} else {
  const tokens = await client.authorizationCodeGrant(config, new URL(process.argv[7]), {
    pkceCodeVerifier: process.argv[6], expectedState: 'the-state', expectedNonce: 'the-nonce',
  });
  const claims = tokens.claims();
  const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  const again = await client.refreshTokenGrant(config, tokens.refresh_token);
  const logout = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token });
  console.log(JSON.stringify({
    email: claims.email, info: info.email, refreshed: again.access_token !== undefined, logout: logout.href,
  }));
}
"""


def test_the_auth0_package_manages_a_tenant(tenant: LiveServer, run_node: RunNode) -> None:
    known = tenant.facts["management"]
    domain = urlsplit(tenant.base_url).netloc

    printed = run_node(
        MANAGEMENT,
        domain,
        known["client_id"],
        known["client_secret"],
        known["audience"],
        ca_file=Path(tenant.ca_file),
    )

    assert json.loads(printed) == {
        "client": "From Node",
        "updated": "x",
        "user": "node@example.com",
        "roles": ["Node role"],
        "listed": True,
        "count": 4,
        "missing": 404,
    }


def test_openid_client_signs_a_user_in(tenant: LiveServer, run_node: RunNode) -> None:
    redirect_uri, verifier = "https://app.test/callback", "v" * 64
    with tenant.management() as api:
        application = api.post(
            "/clients",
            json={
                "name": "Web",
                "app_type": "regular_web",
                "callbacks": [redirect_uri],
                "grant_types": ["authorization_code", "refresh_token"],
            },
        ).json()
        database = api.get("/connections", params={"name": "Username-Password-Authentication"}).json()[0]
        api.patch(
            f"/connections/{database['id']}/clients", json=[{"client_id": application["client_id"], "status": True}]
        )
        user = {"connection": database["name"], "email": "grace@example.com", "password": "Correct-Horse-Battery-9"}
        assert api.post("/users", json=user).status_code == 201
    arguments = (tenant.issuer, application["client_id"], application["client_secret"], redirect_uri, verifier)
    url = json.loads(run_node(OPENID, *arguments, ca_file=Path(tenant.ca_file)))["url"]

    with tenant.client() as http:
        callback = BrowserSession(http).sign_in(url, "grace@example.com", "Correct-Horse-Battery-9").url
    assert parse_qs(urlsplit(callback).query)["state"] == ["the-state"]
    printed = json.loads(run_node(OPENID, *arguments, callback, ca_file=Path(tenant.ca_file)))

    assert printed["email"] == printed["info"] == "grace@example.com"
    assert printed["refreshed"]
    assert printed["logout"].startswith(f"{tenant.base_url}/oidc/logout?")
