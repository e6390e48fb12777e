"""What everything that stands at one request has: the store and the tenant that the request came with."""

from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.store import Store


class AtRequest:
    """Base of what holds a request as `http`, be it a Struct or a dataclass with slots."""

    __slots__ = ()

    http: Request

    @property
    def store(self) -> Store:
        """The store."""
        store: Store = self.http.services.store
        return store

    @property
    def tenant(self) -> TenantScope:
        """The tenant."""
        tenant: TenantScope = self.http.tenant
        return tenant
