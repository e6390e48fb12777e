"""Which pages may call this tenant's endpoints: those of an origin that one of its clients registered.

Origins come from a client's `web_origins`, `allowed_origins` and the origins of its callbacks. The set of a tenant is
computed once per change.
"""

from urllib.parse import urlsplit

from freehold.domain.applications import CLIENTS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.request import Request


async def allows_origin(request: Request, origin: str) -> bool:
    """Whether a page of this origin may read answers of the tenant."""
    tenant: TenantScope | None = request.tenant
    if tenant is None:
        return False
    if origin == tenant.issuer.rstrip("/"):
        return True
    store = request.services.store
    entries = tenant.cached(store.cache_epoch(tenant.id))
    known: tuple[frozenset[str], tuple[str, ...]] | None = entries.get("web_origins")
    if known is None:
        known = entries["web_origins"] = await _origins(request)
    exact, wildcards = known
    return origin in exact or any(_matches(origin, pattern) for pattern in wildcards)


async def _origins(request: Request) -> tuple[frozenset[str], tuple[str, ...]]:
    found: set[str] = set()
    for client in await documents.find_all(request.services.store, request.tenant, CLIENTS):
        for urls in (client.web_origins, client.allowed_origins, client.callbacks):
            for url in urls if isinstance(urls, list) else ():
                parts = urlsplit(url)
                if parts.scheme in {"http", "https"} and parts.netloc:
                    found.add(f"{parts.scheme}://{parts.netloc}".lower())
    return frozenset(o for o in found if "*" not in o), tuple(o for o in found if "*" in o)


def _matches(origin: str, pattern: str) -> bool:
    """A wildcard stands for one whole left-most label: `https://*.example.com`."""
    scheme, _, host = pattern.partition("://*.")
    if not host or not origin.startswith(f"{scheme}://"):
        return False
    label, _, rest = origin.removeprefix(f"{scheme}://").partition(".")
    return bool(label) and rest == host
