"""Clients that prove themselves by a signed JWT (RFC 7523 section 3, OpenID Connect Core section 9).

The kernel checks the assertion itself; here its keys are found, and its `jti` counts once: it is remembered until the
assertion has expired.
"""

from typing import Any

import msgspec

from freehold.domain.applications import CLIENT_CREDENTIALS, CLIENTS, Client
from freehold.kernel.clock import parse_iso
from freehold.kernel.crypto import jose
from freehold.kernel.crypto.assertions import AssertionKey, verify_assertion
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store
from freehold.protocols.oauth.errors import InvalidClient


async def verify_client_assertion(assertion: str, client_id: object, *, store: Store, tenant: TenantScope) -> Client:
    """The client whose registered key signed the assertion. Raises InvalidClient, whatever was wrong."""
    try:
        _, claimed, _, _ = jose.parse_compact(assertion)
        issuer = claimed.get("iss")
        if not isinstance(issuer, str) or client_id not in {None, issuer}:
            raise InvalidClient("Unauthorized")
        client = await documents.cached(store, tenant, CLIENTS, issuer)
        if client is None or client.is_global:
            raise InvalidClient("Unauthorized")
        claims = verify_assertion(
            assertion,
            keys=await _keys(store, tenant, client),
            client_id=client.client_id,
            audiences=(tenant.issuer, f"{tenant.issuer}oauth/token"),
            now=tenant.clock.now(),
        )
    except (jose.InvalidToken, jose.UnusableKey):
        raise InvalidClient("Unauthorized") from None
    await _use_once(store, tenant, client, claims)
    return client


async def _keys(store: Store, tenant: TenantScope, client: Client) -> list[AssertionKey]:
    """The credentials that the client uses for this, without those that have expired."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    keys: list[tuple[AssertionKey, str | None]] | None = entries.get(("assertion keys", client.client_id))
    if keys is None:
        keys = []
        wanted = _credential_ids(client)
        for credential in await documents.find_all(store, tenant, CLIENT_CREDENTIALS, parent=client.client_id):
            if credential.id in wanted and isinstance(credential.pem, str):
                alg = credential.alg if isinstance(credential.alg, str) else "RS256"
                kid = credential.kid if isinstance(credential.kid, str) else credential.id
                key = AssertionKey.from_pem(credential.pem, kid=kid, alg=alg)
                keys.append((key, credential.expires_at))
        entries["assertion keys", client.client_id] = keys
    now = tenant.clock.now()
    return [key for key, expires_at in keys if expires_at is None or parse_iso(expires_at) > now]


def _credential_ids(client: Client) -> set[object]:
    methods = client.client_authentication_methods
    if methods is None or isinstance(methods, msgspec.UnsetType):
        return set()
    use = methods.private_key_jwt
    return set() if isinstance(use, msgspec.UnsetType) else {entry.id for entry in use.credentials}


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
