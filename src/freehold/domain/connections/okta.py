"""The discovery document of an Okta organization, which follows from its domain.

Knowing it saves a request to a host that the caller names, when a connection is made.
"""

from typing import Any

_SIGNING = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
_CLIENT_AUTHENTICATION = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
_ENDPOINTS = {
    "authorization_endpoint": "authorize",
    "token_endpoint": "token",
    "userinfo_endpoint": "userinfo",
    "registration_endpoint": "clients",
    "jwks_uri": "keys",
    "introspection_endpoint": "introspect",
    "revocation_endpoint": "revoke",
    "end_session_endpoint": "logout",
    "device_authorization_endpoint": "device/authorize",
    "pushed_authorization_request_endpoint": "par",
}
_ABILITIES: dict[str, Any] = {
    "response_types_supported": [
        "code", "id_token", "code id_token", "code token", "id_token token", "code id_token token",
    ],
    "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
    "grant_types_supported": [
        "authorization_code", "implicit", "refresh_token", "password", "urn:ietf:params:oauth:grant-type:device_code",
        "urn:openid:params:grant-type:ciba",
    ],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "id_token_encryption_alg_values_supported": ["RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"],
    "id_token_encryption_enc_values_supported": ["A256GCM"],
    "scopes_supported": ["openid", "email", "profile", "address", "phone", "offline_access", "groups"],
    "token_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
    "introspection_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
    "revocation_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
    "claims_supported": [
        "iss", "ver", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "idp", "nonce", "name", "nickname",
        "preferred_username", "given_name", "middle_name", "family_name", "email", "email_verified", "profile",
        "zoneinfo", "locale", "address", "phone_number", "picture", "website", "gender", "birthdate", "updated_at",
        "at_hash", "c_hash",
    ],
    "code_challenge_methods_supported": ["S256"],
    "request_parameter_supported": True,
    "request_object_signing_alg_values_supported": ["HS256", "HS384", "HS512", *_SIGNING],
    "backchannel_token_delivery_modes_supported": ["poll"],
    "backchannel_authentication_request_signing_alg_values_supported": ["HS256", "HS384", "HS512", *_SIGNING],
    "dpop_signing_alg_values_supported": _SIGNING,
}  # fmt: skip


def okta_metadata(domain: str) -> dict[str, Any]:
    """The discovery document of the organization's own authorization server."""
    base = f"https://{domain}"
    endpoints = {name: f"{base}/oauth2/v1/{path}" for name, path in _ENDPOINTS.items()}
    abilities = {name: list(value) if isinstance(value, list) else value for name, value in _ABILITIES.items()}
    return {"issuer": base, **endpoints, **abilities}
