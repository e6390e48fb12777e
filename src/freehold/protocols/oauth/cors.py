"""Which pages may call this tenant's endpoints: those of an origin that one of its clients registered.

Origins come from a client's `web_origins`, `allowed_origins` and the origins of its callbacks. The set of a tenant is
computed once per change.
"""

from freehold.domain.applications import CLIENTS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.request import Request
from freehold.protocols.oauth.origins import is_among, origins_of


async def allows_origin(request: Request, origin: str) -> bool:
    """Whether a page of this origin may read answers of the tenant."""
    tenant: TenantScope | None = request.tenant
    if tenant is None:
        return False
    if origin == tenant.issuer.rstrip("/"):
        return True
    entries = tenant.cached(request.services.store.cache_epoch(tenant.id))
    known: frozenset[str] | None = entries.get("web_origins")
    if known is None:
        clients = await documents.find_all(request.services.store, tenant, CLIENTS)
        known = frozenset[str]().union(
            *(origins_of(client.web_origins, client.allowed_origins, client.callbacks) for client in clients)
        )
        entries["web_origins"] = known
    return is_among(origin, known)
