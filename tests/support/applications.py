"""An application under test: a client of a running server with a database of its own and what a client library does.

Each has its own client, connection, API and users, so that tests on one server do not disturb each other.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx

from tests.support.hosted_pages import BrowserSession, Page

PASSWORD = "Correct-horse-4-battery"
CALLBACK = "https://app.example.com/callback"
ALL_GRANTS = [
    "authorization_code",
    "implicit",
    "refresh_token",
    "client_credentials",
    "password",
    "http://auth0.com/oauth/grant-type/password-realm",
    "http://auth0.com/oauth/grant-type/mfa-otp",
    "http://auth0.com/oauth/grant-type/mfa-oob",
    "http://auth0.com/oauth/grant-type/mfa-recovery-code",
]
CONFIDENTIAL = "client_secret_post"


class Installation(Protocol):
    """A server that tests can talk to."""

    @property
    def issuer(self) -> str: ...

    def client(self, **options: Any) -> httpx.Client: ...

    def management(self) -> httpx.Client: ...


@dataclass
class User:
    """Somebody who can sign in."""

    user_id: str
    email: str
    password: str = PASSWORD


@dataclass
class Application:
    """A registered client with a database connection and an API."""

    installation: Installation
    client_id: str
    client_secret: str | None
    connection: str
    connection_id: str
    audience: str
    callback: str = CALLBACK
    verifiers: dict[str, str] = field(default_factory=dict)

    @property
    def issuer(self) -> str:
        return self.installation.issuer

    def http(self, **options: Any) -> httpx.Client:
        """A new HTTP client, without cookies."""
        return self.installation.client(**options)

    def browser(self) -> BrowserSession:
        """A new browser."""
        return BrowserSession(self.installation.client())

    def manage(self, method: str, path: str, body: Any = None, *, expect: int | None = None) -> Any:
        """A call of the Management API; its decoded answer."""
        with self.installation.management() as api:
            answer = api.request(method, path, json=body)
        assert answer.is_success if expect is None else answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    def change(self, **settings: Any) -> None:
        """Change settings of the client."""
        self.manage("PATCH", f"/clients/{self.client_id}", settings)

    def change_connection(self, **options: Any) -> None:
        """Change options of the connection, keeping the others."""
        known = self.manage("GET", f"/connections/{self.connection_id}")["options"]
        self.manage("PATCH", f"/connections/{self.connection_id}", {"options": {**known, **options}})

    def add_user(self, *, password: str = PASSWORD, **profile: Any) -> User:
        """A new user of the connection."""
        email = f"u{secrets.token_hex(6)}@example.com"
        body = {"connection": self.connection, "email": email, "password": password, **profile}
        made = self.manage("POST", "/users", body)
        return User(made["user_id"], email, password)

    def authorize_url(self, *, pkce: bool = True, **params: Any) -> str:
        """The address of an authorization request; a parameter that is None is left out."""
        state = params.get("state") or secrets.token_urlsafe(12)
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.callback,
            "scope": "openid profile email",
            "state": state,
        }
        if pkce:
            verifier = secrets.token_urlsafe(48)
            self.verifiers[state] = verifier
            asked |= {"code_challenge": code_challenge(verifier), "code_challenge_method": "S256"}
        asked |= params
        return f"{self.issuer}authorize?{urlencode({k: v for k, v in asked.items() if v is not None})}"

    def sign_in(self, user: User, *, browser: BrowserSession | None = None, **params: Any) -> Page:
        """Sign a user in through the hosted pages, as far as the application's callback."""
        browser = browser or self.browser()
        return browser.sign_in(self.authorize_url(**params), user.email, user.password)

    def credentials(self) -> dict[str, str]:
        """What proves the client in a form."""
        known = {"client_id": self.client_id}
        if self.client_secret is not None:
            known["client_secret"] = self.client_secret
        return known

    def token(self, grant_type: str, *, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
        """A request to the token endpoint with the client's credentials; None leaves a parameter out."""
        body = {"grant_type": grant_type, **self.credentials(), **params}
        body = {name: value for name, value in body.items() if value is not None}
        with self.http() as http:
            return http.post("/oauth/token", data=body, headers=headers or {})

    def redeem(self, callback: Page, **params: Any) -> httpx.Response:
        """Exchange the code that the callback was given."""
        answer = callback.query or callback.fragment
        given = {
            "code": answer["code"],
            "redirect_uri": self.callback,
            "code_verifier": self.verifiers.get(answer.get("state", "")),
        }
        return self.token("authorization_code", **{**given, **params})

    def refresh(self, refresh_token: str, **params: Any) -> httpx.Response:
        """Exchange a refresh token."""
        return self.token("refresh_token", refresh_token=refresh_token, **params)

    def log_in(self, user: User, *, browser: BrowserSession | None = None, **params: Any) -> dict[str, Any]:
        """Sign in through the hosted pages and redeem the code; the token response."""
        answer = self.redeem(self.sign_in(user, browser=browser, **params))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def userinfo(self, access_token: str) -> httpx.Response:
        """Ask the userinfo endpoint."""
        with self.http() as http:
            return http.get("/userinfo", headers={"authorization": f"Bearer {access_token}"})

    def events(self, **matching: Any) -> list[dict[str, Any]]:
        """What the tenant's log says about this client, the newest first."""
        found = self.manage("GET", f"/logs?per_page=100&q=client_id:{self.client_id}&sort=date:-1")
        return [event for event in found if all(event.get(name) == value for name, value in matching.items())]


def make_application(installation: Installation, **settings: Any) -> Application:
    """Register a client (a confidential web application unless `settings` say otherwise) with all that it needs."""
    mark = secrets.token_hex(6)
    body = {
        "name": f"Application {mark}",
        "app_type": "regular_web",
        "oidc_conformant": True,
        "token_endpoint_auth_method": CONFIDENTIAL,
        "callbacks": [CALLBACK],
        "allowed_logout_urls": ["https://app.example.com/bye"],
        "web_origins": ["https://app.example.com"],
        "grant_types": ALL_GRANTS,
        "jwt_configuration": {"alg": "RS256"},
        **settings,
    }
    if body["token_endpoint_auth_method"] == "none":
        body["grant_types"] = [grant for grant in body["grant_types"] if grant != "client_credentials"]
    with installation.management() as api:
        # Otherwise it could use the databases of all applications made before it.
        off = {"flags": {"enable_client_connections": False}}
        assert api.patch("/tenants/settings", json=off).status_code == 200
        made = _made(api.post("/clients", json=body))
        connection = _made(
            api.post(
                "/connections",
                json={"name": f"users-{mark}", "strategy": "auth0", "enabled_clients": [made["client_id"]]},
            )
        )
        audience = f"https://api.example.com/{mark}"
        scopes = [{"value": "read:orders", "description": "Read your orders"}, {"value": "write:orders"}]
        _made(
            api.post(
                "/resource-servers",
                json={
                    "name": f"API {mark}",
                    "identifier": audience,
                    "scopes": scopes,
                    "allow_offline_access": True,
                    "skip_consent_for_verifiable_first_party_clients": True,
                },
            )
        )
    public = body["token_endpoint_auth_method"] == "none"
    return Application(
        installation,
        made["client_id"],
        None if public else made["client_secret"],
        connection["name"],
        connection["id"],
        audience,
    )


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    return _part(token, 1)


def read_header(token: str) -> dict[str, Any]:
    """The header of a JWT."""
    return _part(token, 0)


def _part(token: str, index: int) -> dict[str, Any]:
    part = token.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def _made(answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()
