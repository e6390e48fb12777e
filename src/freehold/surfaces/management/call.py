"""One authorised Management API request, as operations see it (`kernel.declare.call.Call`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.scope import Actor, TenantScope
from freehold.kernel.declare.shapes import Collection, Singleton
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

    async def shown(
        self, declaration: Collection[Any] | Singleton[Any], record: Record, *, created: bool = False
    ) -> dict[str, Any]:
        """What this caller may see of a document; `created` shows its secrets, as the answer that makes them does."""
        from freehold.surfaces.management.collections import shown

        return await shown(self, declaration, record, created=created)

    def paged(self, name: str, items: Sequence[Any]) -> Any:
        """The page of a list in memory that the request asks for, bare or under `name` with totals."""
        from freehold.kernel.declare.paging import Page, answer

        page = Page.offset(self)
        return answer(page, name, items[page.start : page.start + page.size], total=len(items))

    def describe(self, description: str, **fields: Any) -> None:
        """Set what the audit entry of this call says, beyond the operation's own description."""
        self.description = description
        self.details.update(fields)
