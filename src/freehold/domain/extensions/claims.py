"""Which claims custom code may set (Auth0 docs, "Create Custom Claims").

A restricted claim is ignored without a word, as at Auth0, so that code written there runs here.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

LARGEST_PAYLOAD = 100_000
_RESTRICTED = frozenset({
    "acr", "act", "active", "amr", "at_hash", "ath", "attest", "aud", "auth_time", "authorization_details", "azp",
    "c_hash", "client_id", "cnf", "cty", "dest", "entitlements", "events", "exp", "groups", "gty", "htm", "htu",
    "iat", "internalService", "iss", "jcard", "jku", "jti", "jwe", "jwk", "kid", "may_act", "mky", "nbf", "nonce",
    "object_id", "org_id", "org_name", "orig", "origid", "permissions", "roles", "rph", "s_hash", "scope", "sid",
    "sub", "sub_jwk", "toe", "txn", "typ", "uuid", "vot", "vtm", "x5t#S256",
})  # fmt: skip
_FORBIDDEN_HOSTS = ("auth0.com", "webtask.io", "webtask.run")


def is_namespaced(name: str) -> bool:
    """Whether a claim's name is a URL or URN of somebody's own (RFC 7519 section 4.2, collision-resistant)."""
    if name.startswith("urn:"):
        return not name.startswith("urn:auth0")
    if not name.startswith(("http://", "https://")):
        return False
    host = urlsplit(name).hostname or ""
    return bool(host) and not any(host == bad or host.endswith(f".{bad}") for bad in _FORBIDDEN_HOSTS)


def allowed(claims: Mapping[str, Any], *, only_namespaced: bool = False) -> dict[str, Any]:
    """The claims that a token takes; all are left out when they are too many to carry."""
    kept = {
        name: value
        for name, value in claims.items()
        if is_namespaced(name)
        or not (only_namespaced or name in _RESTRICTED or name.startswith(("sip_", "http://", "https://", "urn:")))
    }
    return kept if len(msgspec.json.encode(kept)) <= LARGEST_PAYLOAD else {}
