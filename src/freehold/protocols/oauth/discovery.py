"""What standard libraries configure themselves from: the discovery document and the key set.

Both are prepared bytes with an entity tag, made once per change of the tenant (OpenID Connect Discovery 1.0 section 3,
RFC 8414, RFC 7517 section 5). The members are those Auth0 publishes.
"""

import msgspec

from freehold.domain import keys
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import JSON, Response

_CACHE = "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"


async def configuration(request: Request) -> Response:
    """GET /.well-known/openid-configuration and /.well-known/oauth-authorization-server."""
    tenant: TenantScope = request.tenant
    entries = tenant.cached(request.services.store.cache_epoch(tenant.id))
    body: bytes | None = entries.get("discovery")
    if body is None:
        body = entries["discovery"] = msgspec.json.encode(_document(tenant.issuer))
    return Response(200, body, content_type=JSON, cache_control=_CACHE)


async def jwks(request: Request) -> Response:
    """GET /.well-known/jwks.json: the current key, the next and, until it is revoked, the previous."""
    body = await keys.jwks(request.services.store, request.tenant)
    return Response(200, body, content_type=JSON, cache_control=_CACHE)


def _document(issuer: str) -> dict[str, object]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}oauth/token",
        "userinfo_endpoint": f"{issuer}userinfo",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}oauth/revoke",
        "end_session_endpoint": f"{issuer}oidc/logout",
        "scopes_supported": [
            "openid", "profile", "offline_access", "name", "given_name", "family_name", "nickname", "email",
            "email_verified", "picture", "created_at", "identities", "phone", "address",
        ],
        "response_types_supported": [
            "code", "token", "id_token", "code token", "code id_token", "token id_token", "code token id_token",
        ],
        "response_modes_supported": ["query", "fragment", "form_post", "web_message"],
        "grant_types_supported": [
            "authorization_code", "implicit", "refresh_token", "client_credentials", "password",
            "http://auth0.com/oauth/grant-type/password-realm",
        ],
        "code_challenge_methods_supported": ["S256", "plain"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic", "client_secret_post", "private_key_jwt", "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "RS384", "PS256"],
        "claims_supported": [
            "aud", "auth_time", "created_at", "email", "email_verified", "exp", "family_name", "given_name", "iat",
            "identities", "iss", "name", "nickname", "phone_number", "picture", "sub",
        ],
        "request_uri_parameter_supported": False,
        "request_parameter_supported": False,
        "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
    }  # fmt: skip
