"""Whom an operation acts for and in which tenant.

`TenantScope` travels as `tenant` through every function that touches a tenant's data; there is no way to
address a row without one, so a query cannot forget its tenant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from freehold.kernel.clock import Clock
from freehold.kernel.crypto.sealing import Sealer

if TYPE_CHECKING:
    from freehold.kernel.declare.registry import Registry
    from freehold.kernel.store import Transaction, Writer


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change, as the audit entry names them."""

    kind: str
    """`api` for a Management API token, `user`, `operator` for a command on the server, `system`."""
    id: str = ""
    name: str = ""
    scopes: frozenset[str] = frozenset()
    ip: str = ""
    user_agent: str = ""
    client_id: str = ""


SYSTEM = Actor("system")


class EventSink(Protocol):
    """Records a tenant log event in the transaction that caused it, or by itself when it caused nothing else."""

    async def record(self, tx: "Writer", tenant: "TenantScope", type: str, **fields: Any) -> None:  # noqa: A002
        """Append one event; `fields` are members of Auth0's log record."""
        ...


class Witness(Protocol):
    """Places besides the database that keep what the audit log says, so that the database alone cannot deny it."""

    async def accept(self, lines: Sequence[bytes]) -> None:
        """Keep these lines for good in at least one place. Raises Unavailable when no place takes them."""
        ...

    def publish(self, line: bytes) -> None:
        """Hand on a line that became true with a commit; a place that cannot take it now gets it later."""
        ...


@dataclass(slots=True)
class Cache:
    """Decoded documents of one tenant, dropped as a whole when the store's epoch of the tenant moves."""

    epoch: int = -1
    entries: dict[Any, Any] = field(default_factory=dict)


CACHE_LIMIT = 20_000
"""Entries a tenant's cache may hold before it is emptied; bounds memory against lookups of made-up ids."""


class TenantScope(msgspec.Struct, frozen=True):
    """One tenant, with what is needed to read and write its data."""

    id: str
    name: str
    domain: str
    """Host, with the port when it is not 443; the issuer is `https://` + domain + `/`."""
    sealer: Sealer
    clock: Clock
    registry: "Registry"
    events: EventSink
    cache: Cache = msgspec.field(default_factory=Cache)
    witness: Witness | None = None

    @property
    def issuer(self) -> str:
        """The issuer identifier, with the final slash that Auth0 has."""
        return f"https://{self.domain}/"

    @property
    def management_audience(self) -> str:
        """The identifier of the tenant's Management API."""
        return f"https://{self.domain}/api/v2/"

    def cached(self, epoch: int) -> dict[Any, Any]:
        """The cache for this epoch of the tenant's data: what was cached in another epoch is gone."""
        cache = self.cache
        if cache.epoch != epoch or len(cache.entries) > CACHE_LIMIT:
            cache.entries = {}
            cache.epoch = epoch
        return cache.entries


@dataclass(slots=True)
class Change:
    """One create, update or delete on its way through the hooks.

    `document` is the new state (None when deleting), `previous` the old one (None when creating), `given` what the
    caller sent, with only the members that were present.
    """

    tx: "Transaction"
    tenant: TenantScope
    document: Any
    previous: Any
    given: Mapping[str, Any]
    actor: Actor
    id: str = ""
    parent: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    """Members that only the answer to this very change has; the hooks fill it."""
