"""What an attached operation is handed: one authorised Management API request."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from freehold.kernel.declare.documents import Record
from freehold.kernel.declare.scope import Actor, TenantScope
from freehold.kernel.declare.shapes import Collection, Singleton
from freehold.kernel.store import Reader, Store, Transaction


class Call(Protocol):
    """One request to an Operation, authorised, with its body decoded.

    An operation with a method other than GET runs in a transaction that commits when it returns.
    """

    tenant: TenantScope
    actor: Actor
    params: Mapping[str, str]
    """Path parameters, decoded once."""
    body: Any
    """The decoded body, when the operation declares its type."""
    request: Any
    """The kernel.http Request, for what is not covered here (multipart files, headers)."""
    prepared: Any
    """What the operation's `before` answered; None without one."""
    services: Any
    """The app's services (password pool, mail, keyring ...); see app.py."""

    @property
    def store(self) -> Store:
        """The store, for reads outside a transaction."""
        ...

    @property
    def tx(self) -> Transaction:
        """The transaction. Raises RuntimeError in a GET operation."""
        ...

    @property
    def reader(self) -> Reader:
        """The transaction if there is one, else the store."""
        ...

    def query(self, name: str) -> str | None:
        """One query parameter. Raises BadRequest when it is repeated."""
        ...

    async def shown(
        self, declaration: Collection[Any] | Singleton[Any], record: Record, *, created: bool = False
    ) -> dict[str, Any]:
        """What this caller may see of a document; `created` shows its secrets, as the answer that makes them does."""
        ...

    def paged(self, name: str, items: Sequence[Any]) -> Any:
        """The page of a list in memory that the request asks for, bare or under `name` with totals."""
        ...

    def describe(self, description: str, **fields: Any) -> None:
        """Set what the audit entry of this call says, beyond the operation's own description."""
        ...
