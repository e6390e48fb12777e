"""Access tokens: what is in them, and reading our own again (RFC 9068 and Auth0's older profile)."""

from collections.abc import Mapping
from typing import Any

from freehold.domain import keys
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unauthorized
from freehold.kernel.store import Store

_MESSAGES = {
    "expired": "Expired token received for JSON Web Token validation",
    "bad_signature": "Invalid signature received for JSON Web Token validation",
}


async def verify_access_token(store: Store, tenant: TenantScope, token: str, *, audience: str) -> dict[str, Any]:
    """The claims of an access token for one of the tenant's own APIs. Raises Unauthorized in Auth0's words."""
    public: Mapping[str, jose.PublicKey] = await keys.verification_keys(store, tenant)
    try:
        claims = jose.verify_jwt(
            token,
            keys=public,
            algorithms=("RS256",),
            issuer=tenant.issuer,
            audience=audience,
            now=tenant.clock.now(),
            types=("JWT", "at+jwt"),
        )
    except jose.InvalidToken as error:
        raise Unauthorized(_MESSAGES.get(error.reason, "Invalid token"), code="") from None
    if "exp" not in claims or ("scope" not in claims and "azp" not in claims):
        raise Unauthorized("Invalid token", code="")
    return claims
