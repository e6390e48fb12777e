"""Tokens for the client itself (RFC 6749 section 4.4), and what the token endpoint asks of every request."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from tests.support.applications import Application, make_application, read_claims, read_header
from tests.support.in_process import Installation

GRANT = "client_credentials"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    app = make_application(installation)
    grant = {"client_id": app.client_id, "audience": app.audience, "scope": ["read:orders", "write:orders"]}
    app.manage("POST", "/client-grants", grant)
    return app


def api_of(app: Application) -> str:
    """The path of the application's API."""
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    return f"/resource-servers/{api['id']}"


def test_the_client_is_the_subject(app: Application) -> None:
    answer = app.token(GRANT, audience=app.audience)

    assert list(answer.json()) == ["access_token", "scope", "expires_in", "token_type"]
    claims = read_claims(answer.json()["access_token"])
    assert {name: claims[name] for name in ("iss", "sub", "aud", "azp", "gty", "scope")} == {
        "iss": app.issuer,
        "sub": f"{app.client_id}@clients",
        "aud": app.audience,
        "azp": app.client_id,
        "gty": "client-credentials",
        "scope": "read:orders write:orders",
    }
    assert claims["exp"] - claims["iat"] == answer.json()["expires_in"] == 86_400
    assert set(read_header(answer.json()["access_token"])) == {"alg", "typ", "kid"}
    assert app.events(type="seccft")[0]["audience"] == app.audience


def test_only_granted_scopes_are_given(app: Application) -> None:
    asked = app.token(GRANT, audience=app.audience, scope="read:orders delete:orders").json()
    assert asked["scope"] == "read:orders"
    none = app.token(GRANT, audience=app.audience, scope="delete:orders").json()
    assert "scope" not in none
    assert "scope" not in read_claims(none["access_token"])


def test_an_unknown_api(app: Application) -> None:
    answer = app.token(GRANT, audience="https://nobody.example.com")
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "access_denied",
        "error_description": "Service not found: https://nobody.example.com",
    }


def test_without_a_client_grant_there_is_no_token(installation: Installation) -> None:
    app = make_application(installation)
    answer = app.token(GRANT, audience=app.audience)
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "access_denied",
        "error_description": f'Client "{app.client_id}" is not authorized to access resource server "{app.audience}". '
        'You need to create a "client-grant" associated to this API.',
    }


def test_a_grant_for_users_is_none_for_the_client(installation: Installation) -> None:
    app = make_application(installation)
    grant = {"client_id": app.client_id, "audience": app.audience, "scope": [], "subject_type": "user"}
    app.manage("POST", "/client-grants", grant)
    assert app.token(GRANT, audience=app.audience).status_code == 403


def test_without_audience_the_tenants_default_is_taken(app: Application, installation: Installation) -> None:
    assert app.token(GRANT).json()["error_description"].startswith("No audience parameter was provided")
    with installation.settings(default_audience=app.audience):
        assert app.token(GRANT).status_code == 200


def test_the_userinfo_endpoint_is_no_audience_for_a_client(app: Application) -> None:
    assert app.token(GRANT, audience=f"{app.issuer}userinfo").status_code == 403


@pytest.mark.parametrize(
    ("dialect", "typ", "names", "missing"),
    [
        ("access_token", "JWT", {"azp", "gty"}, {"client_id", "jti"}),
        ("rfc9068_profile", "at+jwt", {"client_id", "jti"}, {"azp", "gty"}),
    ],
)
def test_the_api_chooses_the_profile_of_its_tokens(
    installation: Installation, dialect: str, typ: str, names: set[str], missing: set[str]
) -> None:
    """RFC 9068"""
    app = make_application(installation)
    app.manage("POST", "/client-grants", {"client_id": app.client_id, "audience": app.audience, "scope": []})
    app.manage("PATCH", api_of(app), {"token_dialect": dialect})
    token = app.token(GRANT, audience=app.audience).json()["access_token"]

    assert read_header(token)["typ"] == typ
    assert names <= set(read_claims(token))
    assert not missing & set(read_claims(token))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "RS512", "HS256"])
def test_the_api_chooses_how_its_tokens_are_signed(installation: Installation, alg: str) -> None:
    app = make_application(installation)
    app.manage("POST", "/client-grants", {"client_id": app.client_id, "audience": app.audience, "scope": []})
    secret = "s" * 32
    app.manage("PATCH", api_of(app), {"signing_alg": alg, **({"signing_secret": secret} if alg == "HS256" else {})})
    token = app.token(GRANT, audience=app.audience).json()["access_token"]

    with installation.settings(flags={"remove_alg_from_jwks": True}), app.http() as http:
        published = KeySet.import_key_set(http.get("/.well-known/jwks.json").json())
    key: Any = OctKey.import_key(secret) if alg == "HS256" else published
    assert read_header(token)["alg"] == alg
    assert jwt.decode(token, key, algorithms=[alg]).claims["aud"] == app.audience


def test_the_api_chooses_how_long_its_tokens_live(installation: Installation) -> None:
    app = make_application(installation)
    app.manage("POST", "/client-grants", {"client_id": app.client_id, "audience": app.audience, "scope": []})
    app.manage("PATCH", api_of(app), {"token_lifetime": 600})
    assert app.token(GRANT, audience=app.audience).json()["expires_in"] == 600


@pytest.mark.parametrize(
    "wants",
    [
        {"proof_of_possession": {"mechanism": "dpop", "required": True}},
        {"consent_policy": "transactional-authorization-with-mfa"},
        {"authorization_policy": {"policy_id": "a-policy"}},
        {
            "token_encryption": {
                "format": "compact-nested-jwe",
                "encryption_key": {
                    "alg": "RSA-OAEP-256",
                    "pem": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
                },
            }
        },
    ],
)
def test_an_api_that_wants_more_than_there_is_gets_nothing(installation: Installation, wants: dict[str, Any]) -> None:
    app = make_application(installation)
    app.manage("POST", "/client-grants", {"client_id": app.client_id, "audience": app.audience, "scope": []})
    app.manage("PATCH", api_of(app), wants)

    answer = app.token(GRANT, audience=app.audience)

    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


@pytest.mark.parametrize(
    ("grant_type", "error", "description"),
    [
        (None, "invalid_request", "Missing required parameter: grant_type"),
        ("", "invalid_request", "Missing required parameter: grant_type"),
        ("magic", "unsupported_grant_type", "Unsupported grant type: magic"),
        ("authorization_code ", "unsupported_grant_type", "Unsupported grant type: authorization_code "),
        ("urn:ietf:params:oauth:grant-type:saml2-bearer", "unsupported_grant_type",
         "Unsupported grant type: urn:ietf:params:oauth:grant-type:saml2-bearer"),
    ],
)  # fmt: skip
def test_a_grant_type_must_be_known(app: Application, grant_type: str | None, error: str, description: str) -> None:
    with app.http() as http:
        body = {**app.credentials(), **({} if grant_type is None else {"grant_type": grant_type})}
        answer = http.post("/oauth/token", data=body)
    assert (answer.status_code, answer.json()) == (400, {"error": error, "error_description": description})


@pytest.mark.parametrize(
    "grant_type",
    ["client_credentials", "password", "http://auth0.com/oauth/grant-type/password-realm", "refresh_token"],
)
def test_a_grant_that_the_client_has_not_is_refused_first_of_all(installation: Installation, grant_type: str) -> None:
    """Keycloak CVE-2026-9792: before anything that the grant would look at."""
    app = make_application(installation, grant_types=["authorization_code"])
    answer = app.token(grant_type)
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "unauthorized_client",
        "error_description": f"Grant type '{grant_type}' not allowed for the client.",
    }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_is_allowed(app: Application, method: str) -> None:
    with app.http() as http:
        answer = http.request(method, "/oauth/token")
    assert (answer.status_code, answer.headers["allow"].split(", ")[0]) == (405, "POST")
    assert answer.json()["error"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("{", "application/json"),
        ("[]", "application/json"),
        ('"x"', "application/json"),
        ('{"a": NaN}', "application/json"),
        ('{"a":' + "[" * 100_000, "application/json"),
        ("grant_type=client_credentials", "text/plain"),
        ("<x/>", "application/xml"),
        ("grant_type=%ff", "application/x-www-form-urlencoded"),
    ],
)
def test_a_malformed_body_is_a_bad_request(app: Application, content: str, content_type: str) -> None:
    with app.http() as http:
        answer = http.post("/oauth/token", content=content, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


def test_the_telemetry_header_is_never_an_error(app: Application) -> None:
    for value in ("eyJuYW1lIjoieCJ9", "not base64!", "=" * 100):
        assert app.token(GRANT, audience=app.audience, headers={"auth0-client": value}).status_code == 200


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.test", "null"])
def test_pages_of_registered_origins_may_read_the_answer(app: Application, origin: str) -> None:
    """Casdoor CVE-2024-41657"""
    with app.http() as http:
        preflight = http.request(
            "OPTIONS", "/oauth/token",
            headers={"origin": origin, "access-control-request-method": "POST",
                     "access-control-request-headers": "content-type,auth0-client,authorization,dpop"},
        )  # fmt: skip
        answer = http.post("/oauth/token", data={}, headers={"origin": origin})
    allowed = origin if origin == "https://app.example.com" else None
    assert answer.headers.get("access-control-allow-origin") == allowed
    assert preflight.headers.get("access-control-allow-origin") == allowed
    if allowed:
        assert {"content-type", "auth0-client", "authorization", "dpop"} <= set(
            preflight.headers["access-control-allow-headers"].split(", ")
        )
