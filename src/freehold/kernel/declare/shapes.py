"""The shapes a tenant's data comes in. A declaration is one frozen value of one of these.

Collection, Child, Singleton and Link have routes; `Operation` attaches a plain function as one more route.
Stored, Ephemeral and Derived are tables without an API. Everything a surface does follows from these values.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare.scope import Change
from freehold.kernel.store.schema import Table


class Document(msgspec.Struct, kw_only=True):
    """Base of every declared document; members that are UNSET are absent from storage and answers."""


class Part(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of an object inside a document; unknown members are refused. Derive from OpenPart where they are kept."""


class OpenPart(msgspec.Struct, kw_only=True):
    """Base of an object inside a document whose contract allows members we do not name.

    Only for checking: the field itself must be typed `dict[str, Any]` with a `Variant`, or unknown members are lost.
    """


D = TypeVar("D", bound=Document)
Hook = Callable[[Change], Awaitable[None]]
Operations = frozenset[Literal["list", "get", "create", "update", "delete"]]
ALL_OPERATIONS: Operations = frozenset({"list", "get", "create", "update", "delete"})


class Scopes(msgspec.Struct, frozen=True):
    """The Management API scopes of each kind of access; any one of a tuple suffices."""

    read: tuple[str, ...]
    create: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()

    @classmethod
    def of(cls, resource: str) -> "Scopes":
        """`read:`, `create:`, `update:` and `delete:` of one resource name."""
        return cls((f"read:{resource}",), (f"create:{resource}",), (f"update:{resource}",), (f"delete:{resource}",))


class Text(msgspec.Struct, frozen=True):
    """An error's message and errorCode, as Auth0 words them."""

    message: str
    code: str | None = None


class Filter(msgspec.Struct, frozen=True):
    """A query parameter of a list operation that narrows by a field."""

    field: str
    type: Literal["string", "boolean", "list", "contains"] = "string"
    """`list`: any of several, separated by commas; `contains`: somewhere in the value, whatever the case."""
    where: Callable[[Any, str], tuple[str, dict[str, Any]]] | None = None
    """Makes a condition of the call and the value: SQL and its parameters, in place of a comparison with the field."""


class Collection(msgspec.Struct, Generic[D], frozen=True, kw_only=True, eq=False):
    """Many documents of one kind, with list, get, create, update and delete."""

    document: type[D]
    path: str
    scopes: Scopes
    key: str = "id"
    new_id: Callable[[], str] = lambda: new_id("")
    also_by: str = ""
    """A unique field whose value a path may hold in place of the id."""
    table: str = ""
    """The table's name; default: the path with underscores."""
    list_name: str = ""
    """The member that holds the items in an answer with totals; default: the table's name."""
    paging: frozenset[Literal["offset", "checkpoint"]] = frozenset({"offset"})
    """Empty: a listing is a bare array of all there is, whatever the request says about pages."""
    page_limit: int | None = None
    """How many records offset paging reaches (1000 where Auth0 caps it)."""
    filters: Mapping[str, Filter] = msgspec.field(default_factory=dict)
    always: frozenset[str] = frozenset()
    """Members that a listing shows even where `fields` does not name them."""
    operations: Operations = ALL_OPERATIONS
    statuses: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Success statuses that differ from list 200, get 200, create 201, update 200, delete 204."""
    not_found: Text = Text("Not Found")
    conflict: Text = Text("Conflict")
    unknown: Literal["refuse", "ignore"] = "refuse"
    """What happens to members of the input that the document does not have."""
    prepare: Hook | None = None
    check: Hook | None = None
    changed: Hook | None = None
    overrides: Mapping[str, "Handler"] = msgspec.field(default_factory=dict)
    """Functions that replace a built-in operation by name."""
    before: Mapping[str, "Handler"] = msgspec.field(default_factory=dict)
    """Slow work of an override that must not hold the transaction, by the operation's name; see `Operation.before`."""
    cached: bool = True
    """Whether a write drops the tenant's cached documents; off for what is written per person."""
    method_update: Literal["PATCH", "PUT"] = "PATCH"
    audit: str = ""
    """The noun of audit entries: `Create a role`; default: from the table's name."""

    @property
    def name(self) -> str:
        """The declaration's name: also its table and its file in the archive."""
        return self.table or self.path.split("/")[0].replace("-", "_")

    @property
    def items(self) -> str:
        """The member that holds the items in an answer with totals."""
        return self.list_name or self.name


class Child(Collection[D], frozen=True, kw_only=True, eq=False):
    """Documents that belong to one document of the declaration `parent` and go when it goes.

    The path has the parent's id as its only parameter before the collection: `clients/{client_id}/credentials`.
    """

    parent: str = ""


class Singleton(msgspec.Struct, Generic[D], frozen=True, kw_only=True, eq=False):
    """One document per tenant, with its defaults until it is first changed."""

    document: type[D]
    path: str
    scopes: Scopes
    table: str
    update_method: Literal["PATCH", "PUT", ""] = "PATCH"
    prepare: Hook | None = None
    check: Hook | None = None
    changed: Hook | None = None
    overrides: Mapping[str, "Handler"] = msgspec.field(default_factory=dict)
    unknown: Literal["refuse", "ignore"] = "refuse"
    audit: str = ""

    @property
    def name(self) -> str:
        """The declaration's name: also its table and its file in the archive."""
        return self.table


class Link(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A many-to-many relation between two collections, seen from both sides.

    `left_path` lists the right-hand objects of a left one (`roles/{id}/users`), `right_path` the reverse.
    """

    table: str
    left: str
    right: str
    left_path: str = ""
    right_path: str = ""
    left_body: str = ""
    """The member of a request body that holds the right-hand ids, on `left_path`."""
    right_body: str = ""
    left_scopes: Scopes = Scopes(())
    right_scopes: Scopes = Scopes(())
    left_fields: tuple[str, ...] = ()
    """Members of the right-hand documents that a listing on `left_path` shows; empty: all."""
    right_fields: tuple[str, ...] = ()
    left_paging: frozenset[Literal["offset", "checkpoint"]] = frozenset({"offset"})
    left_statuses: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Success statuses of `create` and `delete` on `left_path` where they differ from 204."""
    left_operations: frozenset[str] = frozenset({"list", "create", "delete"})
    right_operations: frozenset[str] = frozenset({"list", "create", "delete"})
    right_statuses: Mapping[str, int] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The declaration's name: also its table and its file in the archive."""
        return self.table


Handler = Callable[[Any], Awaitable[Any]]
"""Takes a `surfaces.management` Call, answers a value to encode, None for no body, or a Response."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A plain function attached to the Management API by name: an action or a view."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    scopes: tuple[str, ...]
    handler: Handler
    name: str
    status: int = 200
    body: Any = None
    """A type that msgspec decodes the body to; None: the operation reads no body, or reads it itself."""
    audit: str = ""
    """The description of the audit entry; empty for views, which are not audited."""
    max_body: int | None = None
    before: Handler | None = None
    """What is done before the transaction begins (hash a password, make a key, read an upload): its answer is
    `call.prepared` in the handler. It has no transaction, and what it read may have changed since."""


class Expiry(msgspec.Struct, frozen=True):
    """Rows go by themselves once the time in this column, in milliseconds since 1970, has passed; null never passes."""

    column: str
    kept_s: int = 0
    """How long they stay on, so that what comes too late can be told from what never was."""


class Stored(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A typed table without an API of its own, exported and restored row by row."""

    table: Table
    refs: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Columns that name a row of another declaration; gives the import order."""
    cascade: frozenset[str] = frozenset()
    """Those columns of `refs` whose row goes when what they name goes."""
    json_columns: frozenset[str] = frozenset()
    """Text columns that hold JSON, which the archive shows as such."""
    expiry: tuple[Expiry, ...] = ()
    """When rows are over; any of these will do."""

    @property
    def name(self) -> str:
        """The declaration's name: also its table and its file in the archive."""
        return self.table.name


class Ephemeral(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A table that no export holds, with a reason someone could dispute."""

    table: Table
    because: str
    expiry: tuple[Expiry, ...] = ()

    @property
    def name(self) -> str:
        """The declaration's name: also its table."""
        return self.table.name


class Derived(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A table computed from another declaration; rebuilt after a restore by `rebuild(tx, tenant)`."""

    table: Table
    from_: str
    rebuild: Callable[..., Awaitable[None]]

    @property
    def name(self) -> str:
        """The declaration's name: also its table."""
        return self.table.name


class VaultKind(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One kind of vault content: it leaves only sealed, through the ceremony or the operator's offline path."""

    name: str
    description: str


Declaration = Collection[Any] | Child[Any] | Singleton[Any] | Link | Stored | Ephemeral | Derived | VaultKind


class Package(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What one feature package adds to a tenant; `registry.py` lists them in order."""

    name: str
    declarations: tuple[Declaration, ...] = ()
    operations: tuple[Operation, ...] = ()
    bootstrap: Callable[[Any, Any], Awaitable[None]] | None = None
    """`bootstrap(tx, tenant)` makes what a new tenant has from the start."""
    jobs: Mapping[str, Callable[..., Awaitable[None]]] = msgspec.field(default_factory=dict)
    """Handlers of background work by topic."""
    periodic: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Topics whose job comes round, without a tenant, and how many seconds lie between."""
