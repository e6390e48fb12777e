"""What libraries configure themselves from (OpenID Connect Discovery, RFC 8414)."""

from typing import Any

import pytest

from tests.support.in_process import Installation

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"


def test_the_document_names_what_there_is(installation: Installation) -> None:
    with installation.client() as http:
        document = http.get(CONFIGURATION).json()
        assert http.get("/.well-known/oauth-authorization-server").json() == document

    issuer = "https://tenant.example.com/"
    assert document["issuer"] == issuer
    assert document["authorization_endpoint"] == f"{issuer}authorize"
    assert document["token_endpoint"] == f"{issuer}oauth/token"
    assert document["userinfo_endpoint"] == f"{issuer}userinfo"
    assert document["jwks_uri"] == f"{issuer}.well-known/jwks.json"
    assert document["revocation_endpoint"] == f"{issuer}oauth/revoke"
    assert document["end_session_endpoint"] == f"{issuer}oidc/logout"
    assert document["mfa_challenge_endpoint"] == f"{issuer}mfa/challenge"
    assert "http://auth0.com/oauth/grant-type/mfa-otp" in document["grant_types_supported"]
    assert "http://auth0.com/oauth/grant-type/mfa-oob" not in document["grant_types_supported"]
    assert set(document["response_modes_supported"]) == {"query", "fragment", "form_post", "web_message"}
    assert set(document["code_challenge_methods_supported"]) == {"S256", "plain"}
    assert document["request_uri_parameter_supported"] is False
    assert document["request_parameter_supported"] is False


def test_every_endpoint_it_names_answers(installation: Installation) -> None:
    """Clients switch on what is named, so nothing is named that is not there."""
    with installation.client() as http:
        document = http.get(CONFIGURATION).json()
        for name, url in document.items():
            if name.endswith("_endpoint") or name == "jwks_uri":
                assert http.get(url).status_code != 404, name
        for grant in document["grant_types_supported"]:
            if grant != "implicit":
                answer = http.post("/oauth/token", data={"grant_type": grant, "client_id": "nobody"})
                assert answer.json()["error"] == "access_denied", grant


@pytest.mark.parametrize("path", [CONFIGURATION, KEYS])
def test_answers_carry_an_entity_tag(installation: Installation, path: str) -> None:
    with installation.client() as http:
        first = http.get(path)
        again = http.get(path, headers={"if-none-match": first.headers["etag"]})
    assert first.headers["cache-control"].startswith("public, max-age=15")
    assert first.headers["access-control-allow-origin"] == "*"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-host": "evil.test"},
        {"x-forwarded-proto": "http"},
        {"forwarded": "host=evil.test"},
        {"x-original-url": "/evil"},
        {"x-rewrite-url": "/evil"},
    ],
)
def test_the_document_is_built_from_configuration(installation: Installation, headers: dict[str, str]) -> None:
    """Zitadel CVE-2025-64101 and its like."""
    with installation.client() as http:
        assert http.get(CONFIGURATION, headers=headers).json() == http.get(CONFIGURATION).json()


def test_an_unknown_host_has_no_document(installation: Installation) -> None:
    with installation.client() as http:
        assert http.get(CONFIGURATION, headers={"host": "evil.test"}).status_code == 404


@pytest.mark.parametrize(
    "path", [f"{CONFIGURATION}.css", f"{CONFIGURATION}/", f"{CONFIGURATION};x.css", "/userinfo/x.css"]
)
def test_a_suffix_leads_nowhere(installation: Installation, path: str) -> None:
    """Web cache deception."""
    with installation.client() as http:
        assert http.get(path).status_code == 404


def test_current_and_next_key_are_published_with_certificates(installation: Installation) -> None:
    with installation.client() as http:
        keys: list[dict[str, Any]] = http.get(KEYS).json()["keys"]
    assert len(keys) == 2
    for key in keys:
        assert set(key) == {"kty", "use", "n", "e", "kid", "x5t", "x5c", "alg"}
        assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")


def test_the_document_follows_the_tenants_settings(installation: Installation) -> None:
    with installation.client() as http:
        with installation.settings(oidc_logout={"rp_logout_end_session_endpoint_discovery": False}):
            assert "end_session_endpoint" not in http.get(CONFIGURATION).json()
        with installation.settings(authorization_response_iss_parameter_supported=True):
            assert http.get(CONFIGURATION).json()["authorization_response_iss_parameter_supported"] is True
        with installation.settings(acr_values_supported=["urn:example:high"]):
            assert http.get(CONFIGURATION).json()["acr_values_supported"] == ["urn:example:high"]
        assert "end_session_endpoint" in http.get(CONFIGURATION).json()
        assert "acr_values_supported" not in http.get(CONFIGURATION).json()
