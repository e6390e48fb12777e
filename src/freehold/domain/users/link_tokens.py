"""`link_with`: an ID token that proves that the caller signed in with the other identity as well."""

from freehold.domain.keys import verification_keys
from freehold.kernel.crypto.jose import InvalidToken, verify_jwt
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Store


async def secondary_of_token(store: Store, tenant: TenantScope, token: str, *, client_id: str) -> str:
    """The user that an ID token of this tenant and of the calling application names. Raises BadRequest."""
    try:
        claims = verify_jwt(
            token,
            keys=await verification_keys(store, tenant),
            algorithms=("RS256",),
            issuer=tenant.issuer,
            audience=None,
            now=tenant.clock.now(),
            types=("JWT",),
        )
    except InvalidToken as error:
        raise BadRequest(_WORDS.get(error.reason, "Invalid token (link_with)."), code="invalid_token") from None
    # Exactly one audience: an access token, which may have several, is no proof of a sign-in.
    if not client_id or claims.get("aud") != client_id:
        raise BadRequest(
            "JWT (link_with) must have an aud claim that matches that of the calling token's azp.", code="invalid_token"
        )
    subject = claims.get("sub")
    if not isinstance(subject, str) or "|" not in subject:
        raise BadRequest("JWT (link_with) contains an invalid sub claim.", code="invalid_token")
    return subject


_WORDS = {
    "wrong_algorithm": "JWT (link_with) must have an alg of RS256.",
    "wrong_issuer": "JWT (link_with) must have the same issuer as the calling user.",
    "wrong_audience": "JWT (link_with) contains an invalid aud claim.",
}
