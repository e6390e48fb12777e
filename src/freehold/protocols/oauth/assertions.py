"""Clients that prove themselves by a signed JWT (RFC 7523 section 3, OpenID Connect Core section 9).

`aud` is exactly this issuer or its token endpoint, `iss` and `sub` the client, the life at most five minutes, and `jti`
counts once: it is remembered until the assertion has expired.
"""

from typing import Any

import msgspec

from freehold.domain.applications import CLIENT_CREDENTIALS, CLIENTS, Client
from freehold.kernel.crypto import jose
from freehold.kernel.declare import Ephemeral, TenantScope, documents
from freehold.kernel.store import Store
from freehold.kernel.store.schema import Column, Index, Table
from freehold.protocols.oauth.errors import InvalidClient

LONGEST_LIFE_S = 300
LEEWAY_S = 30
ALGORITHMS = ("RS256", "RS384", "PS256")

USED_ASSERTIONS = Ephemeral(
    table=Table(
        "used_assertions",
        (
            Column("tenant_id", "text"),
            Column("client_id", "text"),
            Column("jti", "text"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "client_id", "jti"),
        indexes=(Index(("tenant_id", "expires_at_ms")),),
    ),
    because="An assertion names this server and lives for five minutes at most; elsewhere it is worth nothing.",
)


async def verify_client_assertion(
    assertion: str, client_id: object, *, store: Store, tenant: TenantScope
) -> Client:
    """The client whose registered key signed the assertion. Raises InvalidClient, whatever was wrong."""
    try:
        header, claims = jose.peek(assertion)
    except jose.InvalidToken:
        raise InvalidClient("Unauthorized") from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or claims.get("sub") != issuer or client_id not in {None, issuer}:
        raise InvalidClient("Unauthorized")
    client = await documents.cached(store, tenant, CLIENTS, issuer)
    if client is None or client.is_global:
        raise InvalidClient("Unauthorized")
    keys = await _keys(store, tenant, client)
    now = tenant.clock.now()
    for pem, algorithm in keys:
        if header.get("alg") != algorithm:
            continue
        try:
            checked = jose.verify_foreign(assertion, pem, algorithms=(algorithm,))
        except jose.InvalidToken:
            continue
        _check(checked, tenant, now.timestamp())
        await _use_once(store, tenant, client, checked)
        return client
    raise InvalidClient("Unauthorized")


async def _keys(store: Store, tenant: TenantScope, client: Client) -> list[tuple[str, str]]:
    """PEM and algorithm of the credentials that the client uses for this, without those that have expired."""
    methods = client.client_authentication_methods
    if methods is None or isinstance(methods, msgspec.UnsetType):
        return []
    use = methods.private_key_jwt
    if isinstance(use, msgspec.UnsetType):
        return []
    wanted = {entry.id for entry in use.credentials}
    found = []
    for credential in await documents.cached_all(store, tenant, CLIENT_CREDENTIALS, parent=client.client_id):
        if credential.id not in wanted or not isinstance(credential.pem, str):
            continue
        if credential.expires_at is not None and credential.expires_at <= tenant.clock.now().isoformat():
            continue
        found.append((credential.pem, credential.alg if isinstance(credential.alg, str) else "RS256"))
    return found


def _check(claims: dict[str, Any], tenant: TenantScope, now_s: float) -> None:
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    expires, issued, jti = claims.get("exp"), claims.get("iat"), claims.get("jti")
    good = (
        audience in {tenant.issuer, f"{tenant.issuer}oauth/token"}
        and isinstance(expires, int | float)
        and now_s < expires <= now_s + LONGEST_LIFE_S + LEEWAY_S
        and (issued is None or (isinstance(issued, int | float) and issued <= now_s + LEEWAY_S))
        and isinstance(jti, str)
        and 0 < len(jti) <= 255
    )
    if not good:
        raise InvalidClient("Unauthorized")


async def _use_once(store: Store, tenant: TenantScope, client: Client, claims: dict[str, Any]) -> None:
    won = await store.run(
        "insert into used_assertions (tenant_id, client_id, jti, expires_at_ms) "
        "values (:tenant_id, :client_id, :jti, :expires) on conflict do nothing",
        tenant_id=tenant.id,
        client_id=client.client_id,
        jti=claims["jti"],
        expires=int(claims["exp"] * 1000),
    )
    if not won:
        raise InvalidClient("Unauthorized")
