"""The machine-to-machine client with which scripts reach a tenant's Management API from the start.

Its credentials are what a ready-file holds. Auth0's like is called "API Explorer Application"; this one has a name of
its own, so that a configuration that brings Auth0's does not change it.
"""

import msgspec

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS
from freehold.domain.applications import CLIENTS
from freehold.kernel.crypto.ids import new_client_secret
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Reader, Transaction

NAME = "Management Client"
FROM_A_FORM = {
    "oidc_conformant": True,
    "allowed_clients": [],
    "callbacks": [],
    "client_aliases": [],
    "native_social_login": {"apple": {"enabled": False}, "facebook": {"enabled": False}},
    "jwt_configuration": {"alg": "RS256", "lifetime_in_seconds": 36_000},
}
"""What an application has that was made in Auth0's dashboard (recorded), and clients of the API therefore expect."""


class Credentials(msgspec.Struct, frozen=True):
    """What a script needs to get a Management API token by client credentials."""

    client_id: str
    client_secret: str
    audience: str


async def make(tx: Transaction, tenant: TenantScope, secret: str | None = None) -> None:
    """Create the client with a grant of every scope; `secret` keeps a known one."""
    client_id = await _client_id(tx, tenant)
    await documents.create(
        tx,
        tenant,
        CLIENTS,
        {
            "name": NAME,
            "app_type": "non_interactive",
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "client_secret_post",
            **FROM_A_FORM,
        },
        server={"client_id": client_id, "client_secret": secret or new_client_secret()},
    )
    api = await documents.find_by(tx, tenant, RESOURCE_SERVERS, identifier=tenant.management_audience)
    assert api is not None
    scopes = [scope.value for scope in api.scopes] if isinstance(api.scopes, list) else []
    grant = {"client_id": client_id, "audience": tenant.management_audience, "scope": scopes}
    await documents.create(tx, tenant, CLIENT_GRANTS, grant)


async def refresh(tx: Transaction, tenant: TenantScope, new: list[str]) -> None:
    """Let the client also do what came with this release."""
    client_id = await _client_id(tx, tenant)
    for record in await documents.select(tx, tenant, CLIENT_GRANTS, client_id=client_id):
        if record.document["audience"] == tenant.management_audience:
            scopes = list(dict.fromkeys([*(record.document.get("scope") or ()), *new]))
            await documents.update(tx, tenant, CLIENT_GRANTS, record.id, {"scope": scopes})


async def credentials(reader: Reader, tenant: TenantScope) -> Credentials | None:
    """The client's credentials, None when somebody deleted it."""
    client = await documents.find(reader, tenant, CLIENTS, await _client_id(reader, tenant))
    if client is None or not isinstance(client.client_secret, str):
        return None
    return Credentials(client.client_id, client.client_secret, tenant.management_audience)


async def _client_id(reader: Reader, tenant: TenantScope) -> str:
    row = await reader.one("select management_client_id from tenants where tenant_id = :tenant_id", tenant_id=tenant.id)
    assert row is not None
    return str(row[0])
