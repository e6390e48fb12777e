"""What standard libraries configure themselves from: the discovery document and the key set.

Both are prepared bytes with an entity tag, made once per change of the tenant (OpenID Connect Discovery 1.0 section 3,
RFC 8414, RFC 7517 section 5). The members are those Auth0 publishes.
"""

import msgspec

from freehold.domain import keys
from freehold.domain.tenants.settings import SETTINGS, TenantSettings
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.prepared import Prepared
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import JSON, Response
from freehold.protocols.oauth.grants import GRANTS
from freehold.protocols.oauth.grants.mfa_oob import MFA_OOB

_REFUSED_GRANTS = {MFA_OOB.grant_type}
"""Grants that are there to refuse in the right words."""
_CACHE = "public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"


async def configuration(request: Request) -> Response:
    """GET /.well-known/openid-configuration and /.well-known/oauth-authorization-server."""
    tenant: TenantScope = request.tenant
    store = request.services.store
    entries = tenant.cached(store.cache_epoch(tenant.id))
    prepared: Prepared | None = entries.get("discovery")
    if prepared is None:
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        body = msgspec.json.encode(_document(tenant.issuer, settings))
        prepared = entries["discovery"] = Prepared(body, content_type=JSON, cache_control=_CACHE)
    return prepared.answer(request)


async def jwks(request: Request) -> Response:
    """GET /.well-known/jwks.json: the current key, the next and, until it is revoked, the previous."""
    tenant: TenantScope = request.tenant
    store = request.services.store
    entries = tenant.cached(store.cache_epoch(tenant.id))
    prepared: Prepared | None = entries.get("published keys")
    if prepared is None:
        body = await keys.jwks(store, tenant)
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        if settings.flags.get("remove_alg_from_jwks"):
            body = _without_alg(body)
        prepared = entries["published keys"] = Prepared(body, content_type=JSON, cache_control=_CACHE)
    return prepared.answer(request)


def _without_alg(key_set: bytes) -> bytes:
    """The key set for tenants that sign with another algorithm than RS256, which strict libraries hold against it."""
    published = msgspec.json.decode(key_set)["keys"]
    return msgspec.json.encode(
        {"keys": [{name: value for name, value in key.items() if name != "alg"} for key in published]}
    )


def _document(issuer: str, settings: TenantSettings) -> dict[str, object]:
    document: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}authorize",
        "token_endpoint": f"{issuer}oauth/token",
        "userinfo_endpoint": f"{issuer}userinfo",
        "mfa_challenge_endpoint": f"{issuer}mfa/challenge",
        "jwks_uri": f"{issuer}.well-known/jwks.json",
        "revocation_endpoint": f"{issuer}oauth/revoke",
        "scopes_supported": [
            "openid", "profile", "offline_access", "name", "given_name", "family_name", "nickname", "email",
            "email_verified", "picture", "created_at", "identities", "phone", "address",
        ],
        "response_types_supported": [
            "code", "token", "id_token", "code token", "code id_token", "token id_token", "code token id_token",
        ],
        "response_modes_supported": ["query", "fragment", "form_post", "web_message"],
        "grant_types_supported": ["implicit", *sorted(set(GRANTS) - _REFUSED_GRANTS)],
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
    if settings.oidc_logout.rp_logout_end_session_endpoint_discovery:
        document["end_session_endpoint"] = f"{issuer}oidc/logout"
    if settings.acr_values_supported:
        document["acr_values_supported"] = settings.acr_values_supported
    if settings.authorization_response_iss_parameter_supported is True:
        document["authorization_response_iss_parameter_supported"] = True
    return document
