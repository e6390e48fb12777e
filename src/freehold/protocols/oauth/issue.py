"""Signing access tokens the way their API wants them: algorithm, profile and life are the API's settings."""

from collections.abc import Mapping
from typing import Any

from freehold.domain.access import ResourceServer
from freehold.kernel.crypto import jose
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.errors import Unavailable

AUTH0_SHORTEST_API_SECRET = 16


def sign_access_token(
    claims: Mapping[str, Any], *, api: ResourceServer, key: jose.SigningKey, now_s: int, lifetime_s: int
) -> str:
    """A JWT for the API. `claims` are those of Auth0's own profile; an API with the RFC 9068 profile gets its names."""
    full = {**claims, "iat": now_s, "exp": now_s + lifetime_s}
    typ = "JWT"
    dialect = api.token_dialect if isinstance(api.token_dialect, str) else "access_token"
    if dialect.startswith("rfc9068"):
        typ = "at+jwt"
        full["client_id"] = full.pop("azp")
        full["jti"] = new_token(16)
        full.pop("gty", None)
    algorithm = api.signing_alg if isinstance(api.signing_alg, str) else "RS256"
    if algorithm == "HS256":
        if not isinstance(api.signing_secret, str):
            raise Unavailable("The API signs with HS256 and has no signing_secret.")
        return jose.sign_jwt_hs256(full, api.signing_secret, typ=typ, shortest_secret=AUTH0_SHORTEST_API_SECRET)
    return jose.sign_jwt(full, key, typ=typ, alg=algorithm)
