"""All declarations of a tenant together: what refers to what, and in which order things are restored."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from freehold.kernel.declare import documents
from freehold.kernel.declare.compile import DeclarationError, project, table_of
from freehold.kernel.declare.markers import Ref
from freehold.kernel.declare.scope import Actor, Change, TenantScope
from freehold.kernel.declare.shapes import (
    Child,
    Collection,
    Declaration,
    Derived,
    Ephemeral,
    Link,
    Operation,
    Package,
    Singleton,
    Stored,
    VaultKind,
)
from freehold.kernel.errors import Conflict, NotFound
from freehold.kernel.store import Transaction
from freehold.kernel.store.schema import Table


class Registry:
    """The declarations of an ordered list of packages, checked against each other.

    Raises DeclarationError for two declarations of one name, a reference to nothing, or references in a circle.
    """

    def __init__(self, packages: tuple[Package, ...], *, own_tables: tuple[Table, ...] = ()) -> None:
        self.packages = packages
        self.own_tables = own_tables
        self.by_name: dict[str, Declaration] = {}
        for package in packages:
            for declaration in package.declarations:
                if declaration.name in self.by_name:
                    raise DeclarationError(f"two declarations are called {declaration.name}")
                self.by_name[declaration.name] = declaration
        self.order = self._import_order()
        self._referrers = self._find_referrers()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All attached functions, in order."""
        return tuple(operation for package in self.packages for operation in package.operations)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that some operation asks for, in the order of the declarations."""
        found: dict[str, None] = {}
        for declaration in self.by_name.values():
            of: tuple[Any, ...] = ()
            if isinstance(declaration, Collection | Singleton):
                of = (declaration.scopes,)
            elif isinstance(declaration, Link):
                of = (declaration.left_scopes, declaration.right_scopes)
            for scopes in of:
                found |= dict.fromkeys((*scopes.read, *scopes.create, *scopes.update, *scopes.delete))
        for operation in self.operations:
            found |= dict.fromkeys(operation.scopes)
        return tuple(found)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the schema, each claimed by exactly one declaration or by the kernel itself."""
        return self.own_tables + tuple(
            table_of(declaration) if isinstance(declaration, Collection | Singleton | Link) else declaration.table
            for declaration in self.by_name.values()
            if not isinstance(declaration, VaultKind)
        )

    @property
    def vault_kinds(self) -> tuple[VaultKind, ...]:
        """The kinds of vault content."""
        return tuple(d for d in self.by_name.values() if isinstance(d, VaultKind))

    def holding_documents(self) -> Iterator[Collection[Any] | Singleton[Any]]:
        """All declarations that hold documents."""
        for declaration in self.by_name.values():
            if isinstance(declaration, Collection | Singleton):
                yield declaration

    def collection(self, name: str) -> Collection[Any]:
        """A collection by name. Raises DeclarationError."""
        found = self.by_name.get(name)
        if not isinstance(found, Collection):
            raise DeclarationError(f"there is no collection {name}")
        return found

    async def check_refs(self, change: Change, declaration: Collection[Any] | Singleton[Any]) -> None:
        """Refuse a reference to nothing. Raises NotFound in the words of what is missing."""
        for name, ref in project(declaration.document).refs.items():
            value = getattr(change.document, name, None)
            if not isinstance(value, str) or (change.previous and getattr(change.previous, name, None) == value):
                continue
            target = self.collection(ref.to)
            if ref.field is None:
                found: Any = await documents.read(change.tx, change.tenant, target, value)
            else:
                found = await documents.select(change.tx, change.tenant, target, **{ref.field: value})
            if not found:
                raise NotFound(target.not_found.message, code=target.not_found.code or "")

    async def release(
        self, tx: Transaction, tenant: TenantScope, declaration: Collection[Any], gone: documents.Record, actor: Actor
    ) -> None:
        """Settle what hangs on a document that is about to be deleted: children, links and references."""
        for other in self.by_name.values():
            if isinstance(other, Child) and other.parent == declaration.name:
                for child in await documents.select(tx, tenant, other, parent=gone.id):
                    await documents.delete(tx, tenant, other, child.id, actor=actor, checked=False)
            elif isinstance(other, Stored):
                for column in other.cascade:
                    if other.refs[column] == declaration.name:
                        sql = f"delete from {other.name} where tenant_id = :tenant_id and {column} = :id"  # noqa: S608
                        await tx.run(sql, tenant_id=tenant.id, id=gone.id)
            elif isinstance(other, Link) and declaration.name in (other.left, other.right):
                side = "left_id" if other.left == declaration.name else "right_id"
                sql = f"delete from {other.table} where tenant_id = :tenant_id and {side} = :id"  # noqa: S608
                await tx.run(sql, tenant_id=tenant.id, id=gone.id)
        for other, name, ref in self._referrers.get(declaration.name, ()):
            value = gone.id if ref.field is None else str(gone.document.get(ref.field))
            for record in await documents.select(tx, tenant, other, **{name: value}):
                if ref.on_delete == "restrict":
                    raise Conflict(f"The object is still used by {other.name} {record.id}.")
                if ref.on_delete == "cascade":
                    await documents.delete(tx, tenant, other, record.id, actor=actor, checked=False)
                else:
                    record.document.pop(name, None)
                    document = documents.typed(other, record)
                    await documents.save(tx, tenant, other, record, document, now=tenant.clock.now_ms())

    def _find_referrers(self) -> Mapping[str, list[tuple[Collection[Any], str, Ref]]]:
        referrers: dict[str, list[tuple[Collection[Any], str, Ref]]] = {}
        for declaration in self.holding_documents():
            for name, ref in project(declaration.document).refs.items():
                if ref.to not in self.by_name:
                    raise DeclarationError(f"{declaration.name}.{name} refers to {ref.to}, which nobody declares")
                if isinstance(declaration, Collection):
                    referrers.setdefault(ref.to, []).append((declaration, name, ref))
        return referrers

    def _import_order(self) -> tuple[Declaration, ...]:
        """Declarations with what they refer to before them."""
        graph: dict[str, set[str]] = {}
        for name, declaration in self.by_name.items():
            match declaration:
                case Child():
                    needed = {declaration.parent} | {r.to for r in project(declaration.document).refs.values()}
                case Collection() | Singleton():
                    needed = {ref.to for ref in project(declaration.document).refs.values()}
                case Link():
                    needed = {declaration.left, declaration.right}
                case Stored():
                    needed = set(declaration.refs.values())
                case Derived():
                    needed = {declaration.from_}
                case Ephemeral() | VaultKind():
                    needed = set()
            graph[name] = needed - {name}
        try:
            order = tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise DeclarationError(f"references go in a circle: {error.args[1]}") from None
        unknown = [name for name in order if name not in self.by_name]
        if unknown:
            raise DeclarationError(f"referred to but not declared: {', '.join(unknown)}")
        return tuple(self.by_name[name] for name in order)
