"""Members of an application that are made up when it is read."""

from typing import Any

from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader


async def tenant_name(reader: Reader, tenant: TenantScope, document: dict[str, Any]) -> str:
    """The tenant's name, which Auth0 repeats in each client."""
    return tenant.name


async def signing_keys(reader: Reader, tenant: TenantScope, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The certificate of the tenant's current signing key; it is the same for all clients of a listing."""
    from freehold.domain.keys import current_certificate  # keys are declared after applications

    epoch = getattr(reader, "cache_epoch", None)
    if epoch is None:
        return [await current_certificate(reader, tenant)]
    entries = tenant.cached(epoch(tenant.id))
    if "client_signing_keys" not in entries:
        entries["client_signing_keys"] = [await current_certificate(reader, tenant)]
    keys: list[dict[str, Any]] = entries["client_signing_keys"]
    return keys
