"""One authorised Management API request, as operations see it (`kernel.declare.call.Call`)."""

from collections.abc import Mapping
from typing import Any

from freehold.kernel.declare.scope import Actor, TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.store import Reader, Store, Transaction


class ManagementCall:
    """A request with who makes it, in which tenant and, for a write, in which transaction."""

    __slots__ = (
        "_tx", "actor", "body", "description", "details", "params", "prepared", "request", "services", "tenant",
    )  # fmt: skip

    def __init__(
        self, request: Request, tenant: TenantScope, actor: Actor, services: Any, tx: Transaction | None = None
    ) -> None:
        self.request = request
        self.tenant = tenant
        self.actor = actor
        self.services = services
        self.params: Mapping[str, str] = request.params
        self.body: Any = None
        self.prepared: Any = None
        self.description = ""
        self.details: dict[str, Any] = {}
        self._tx = tx

    @property
    def store(self) -> Store:
        """The store, for reads outside the transaction."""
        store: Store = self.services.store
        return store

    @property
    def tx(self) -> Transaction:
        """The transaction of this write. Raises RuntimeError in a read."""
        if self._tx is None:
            raise RuntimeError("a GET operation has no transaction")
        return self._tx

    def begin(self, tx: Transaction) -> None:
        """From here on the request has a transaction."""
        self._tx = tx

    @property
    def reader(self) -> Reader:
        """The transaction if there is one, else the store."""
        return self._tx if self._tx is not None else self.store

    def query(self, name: str) -> str | None:
        """One query parameter, None when absent. Raises BadRequest when it is repeated."""
        return self.request.query.one(name)

    def describe(self, description: str, **fields: Any) -> None:
        """Set what the audit entry of this call says, beyond the operation's own description."""
        self.description = description
        self.details.update(fields)
