"""auth0-python's Authentication classes and Authlib: only the domain is another."""

import ssl
from typing import Any
from urllib.parse import urlsplit

import pytest
from auth0.authentication import Database, GetToken, RevokeToken, Users
from auth0.authentication.exceptions import Auth0Error
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.hosted_pages import BrowserSession
from tests.support.server import LiveServer

DATABASE = "Username-Password-Authentication"
PASSWORD = "Correct-Horse-Battery-9"
REALM = "http://auth0.com/oauth/grant-type/password-realm"
CALLBACK = "https://app.test/callback"


@pytest.fixture
def application(tenant: LiveServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A client for every grant, on a new tenant; the library trusts the authority by the usual variable."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tenant.ca_file)
    with tenant.management() as api:
        made: dict[str, Any] = api.post(
            "/clients",
            json={
                "name": "Shop",
                "app_type": "regular_web",
                "callbacks": [CALLBACK],
                "grant_types": ["authorization_code", "refresh_token", "client_credentials", REALM],
            },
        ).json()
        database = api.get("/connections", params={"name": DATABASE}).json()[0]
        enabled = [{"client_id": made["client_id"], "status": True}]
        assert api.patch(f"/connections/{database['id']}/clients", json=enabled).status_code == 204
    return made


def test_auth0_python_signs_up_signs_in_refreshes_and_revokes(tenant: LiveServer, application: dict[str, Any]) -> None:
    domain = urlsplit(tenant.base_url).netloc
    known = (domain, application["client_id"], application["client_secret"])

    signed_up = Database(*known).signup(email="ada@example.com", password=PASSWORD, connection=DATABASE)
    tokens = GetToken(*known).login(
        username="ada@example.com", password=PASSWORD, realm=DATABASE, scope="openid profile email offline_access"
    )
    profile = Users(domain).userinfo(tokens["access_token"])
    again = GetToken(*known).refresh_token(tokens["refresh_token"])
    RevokeToken(*known).revoke_refresh_token(tokens["refresh_token"])

    assert signed_up["email_verified"] is False
    assert profile["email"] == "ada@example.com"
    assert profile["sub"] == f"auth0|{signed_up['_id']}"
    assert again["access_token"] != tokens["access_token"]
    with pytest.raises(Auth0Error) as refusal:
        GetToken(*known).refresh_token(tokens["refresh_token"])
    assert (refusal.value.status_code, refusal.value.error_code) == (403, "invalid_grant")
    with pytest.raises(Auth0Error) as refusal:
        GetToken(*known).login(username="ada@example.com", password="wrong", realm=DATABASE)
    assert refusal.value.message == "Wrong email or password."
    sentence = Database(*known).change_password(email="nobody@example.com", connection=DATABASE)
    assert sentence == "We've just sent you an email to reset your password."


def test_auth0_python_gets_a_token_for_an_api(tenant: LiveServer, application: dict[str, Any]) -> None:
    known = tenant.facts["management"]
    domain = urlsplit(tenant.base_url).netloc
    answer = GetToken(domain, known["client_id"], known["client_secret"]).client_credentials(known["audience"])
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 86400


def test_authlib_signs_a_user_in_with_pkce(tenant: LiveServer, application: dict[str, Any]) -> None:
    with tenant.management() as api:
        user = {"connection": DATABASE, "email": "grace@example.com", "password": PASSWORD}
        assert api.post("/users", json=user).status_code == 201
    verifier = "v" * 64
    with (
        OAuth2Client(
            application["client_id"],
            application["client_secret"],
            scope="openid profile email offline_access",
            redirect_uri=CALLBACK,
            code_challenge_method="S256",
            verify=ssl.create_default_context(cafile=tenant.ca_file),
        ) as oauth,
        tenant.client() as http,
    ):
        metadata = http.get("/.well-known/openid-configuration").json()
        url, _ = oauth.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=verifier, nonce="the-nonce"
        )
        callback = BrowserSession(http).sign_in(url, "grace@example.com", PASSWORD).url
        tokens = oauth.fetch_token(metadata["token_endpoint"], authorization_response=callback, code_verifier=verifier)
        keys = KeySet.import_key_set(http.get(metadata["jwks_uri"]).json())
        claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
        refreshed = oauth.refresh_token(metadata["token_endpoint"], refresh_token=tokens["refresh_token"])

    assert claims["iss"] == tenant.issuer
    assert claims["aud"] == application["client_id"]
    assert claims["nonce"] == "the-nonce"
    assert claims["email"] == "grace@example.com"
    assert refreshed["access_token"]
