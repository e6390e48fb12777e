"""Reading and writing declared documents: the one pipeline that every surface and every domain function uses.

A write goes: validate, `prepare`, `check`, store, `changed`, all in the caller's transaction. Secret members are stored
encrypted beside the document and sealed ones in the vault, so the stored text itself can be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import msgspec

from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.declare.compile import Path, Projection, hidden_paths, lenient, project, table_of
from freehold.kernel.declare.scope import SYSTEM, Actor, Change, TenantScope
from freehold.kernel.declare.shapes import Child, Collection, Document, OpenPart, Singleton
from freehold.kernel.declare.validation import convert_body
from freehold.kernel.errors import Conflict, NotFound, PreconditionFailed
from freehold.kernel.store import Reader, Store, Transaction, UniqueViolation

D = TypeVar("D", bound=Document)
SINGLETON_ID = "1"
Declared = Collection[Any] | Singleton[Any]


@dataclass(slots=True)
class Record:
    """One stored row: the document with its secrets merged in, and the row's own facts."""

    id: str
    version: int
    created_at: int
    updated_at: int
    document: dict[str, Any]
    parent: str = ""
    columns: dict[str, Any] = field(default_factory=dict)


class Statements(msgspec.Struct, frozen=True):
    """The SQL of one declaration, written once."""

    select: str
    by_id: str
    insert: str
    update: str
    delete: str
    text_by_id: str


@cache
def statements(declaration: Declared) -> Statements:
    """Compile the statements of a declaration's table."""
    table = table_of(declaration)
    name = table.name
    columns = [column.name for column in table.columns]
    fixed = {
        "tenant_id",
        "id",
        "parent_id",
        "version",
        "created_at",
        "updated_at",
        *project(declaration.document).columns,
    }
    own = [c for c in columns if c not in fixed]
    child = "parent_id" if "parent_id" in columns else "''"
    extra = ", ".join(["secrets" if "secrets" in columns else "null", *project(declaration.document).columns])
    select = f"select id, version, created_at, updated_at, document, {child}, {extra} from {name} "  # noqa: S608
    places = ", ".join(f":{column}" for column in columns)
    return Statements(
        select=select,
        by_id=select + "where tenant_id = :tenant_id and id = :id",
        insert=f"insert into {name} ({', '.join(columns)}) values ({places})",  # noqa: S608
        update=f"update {name} set {', '.join(f'{c} = :{c}' for c in own)}, "  # noqa: S608
        "version = version + 1, updated_at = :updated_at "
        "where tenant_id = :tenant_id and id = :id and version = :version",
        delete=f"delete from {name} where tenant_id = :tenant_id and id = :id",  # noqa: S608
        text_by_id=f"select document, version from {name} where tenant_id = :tenant_id and id = :id",  # noqa: S608
    )


# --- reading -----------------------------------------------------------------------------------------------------


async def read(reader: Reader, tenant: TenantScope, declaration: Declared, id_: str) -> Record | None:
    """One row with its secrets, or None."""
    row = await reader.one(statements(declaration).by_id, tenant_id=tenant.id, id=id_)
    return None if row is None else to_record(tenant, declaration, row)


async def find(reader: Reader, tenant: TenantScope, declaration: Collection[D], id_: str) -> D | None:
    """The document, or None when the tenant has none with this id."""
    record = await read(reader, tenant, declaration, id_)
    return None if record is None else typed(declaration, record)


async def get(reader: Reader, tenant: TenantScope, declaration: Collection[D], id_: str) -> D:
    """The document. Raises NotFound in the declaration's words."""
    document = await find(reader, tenant, declaration, id_)
    if document is None:
        raise missing(declaration)
    return document


async def resolve(reader: Reader, tenant: TenantScope, declaration: Collection[Any], text: str) -> str:
    """The id a path means: `text` itself, or the id of the document whose `also_by` field has that value."""
    if declaration.also_by and await read(reader, tenant, declaration, text) is None:
        found = await select(reader, tenant, declaration, **{declaration.also_by: text})
        if found:
            return found[0].id
    return text


async def select(reader: Reader, tenant: TenantScope, declaration: Collection[Any], **where: str) -> list[Record]:
    """All rows whose indexed fields have these values, ordered by id; `parent` names a child's parent."""
    conditions, params = ["tenant_id = :tenant_id"], {"tenant_id": tenant.id}
    for name, value in where.items():
        if name == "parent":
            column, wanted = "parent_id", value
        else:
            indexed = next(f for f in project(declaration.document).indexed if f.name == name)
            column, wanted = indexed.column, indexed.canonical(value) if indexed.canonical else value
        conditions.append(f"{column} = :w_{name}")
        params[f"w_{name}"] = wanted
    sql = f"{statements(declaration).select}where {' and '.join(conditions)} order by id"
    return [to_record(tenant, declaration, row) for row in await reader.all(sql, **params)]


async def find_by(reader: Reader, tenant: TenantScope, declaration: Collection[D], **where: str) -> D | None:
    """The first document whose indexed fields have these values, or None."""
    records = await select(reader, tenant, declaration, **where)
    return typed(declaration, records[0]) if records else None


async def find_all(reader: Reader, tenant: TenantScope, declaration: Collection[D], **where: str) -> list[D]:
    """All documents whose indexed fields have these values, ordered by id."""
    records = await select(reader, tenant, declaration, **where)
    return [typed(declaration, record) for record in records]


async def cached(store: Store, tenant: TenantScope, declaration: Collection[D], id_: str) -> D | None:
    """Like `find`, through the tenant's cache; the document must not be changed."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = (declaration.name, id_)
    if key not in entries:
        entries[key] = await find(store, tenant, declaration, id_)
    document: D | None = entries[key]
    return document


async def cached_by(store: Store, tenant: TenantScope, declaration: Collection[D], **where: str) -> D | None:
    """Like `find_by`, through the tenant's cache; the document must not be changed."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = (declaration.name, *where.items())
    if key not in entries:
        entries[key] = await find_by(store, tenant, declaration, **where)
    document: D | None = entries[key]
    return document


async def singleton(reader: Reader, tenant: TenantScope, declaration: Singleton[D]) -> D:
    """The tenant's document of this kind, with its defaults when it was never changed."""
    record = await read(reader, tenant, declaration, SINGLETON_ID)
    return msgspec.convert(record.document if record else {}, declaration.document)


def defaults(declaration: Singleton[Any]) -> dict[str, Any]:
    """What a singleton shows before it is first changed."""
    projection = project(declaration.document)
    shown: dict[str, Any] = msgspec.to_builtins(declaration.document())
    return {name: value for name, value in shown.items() if name not in projection.computed}


async def cached_singleton(store: Store, tenant: TenantScope, declaration: Singleton[D]) -> D:
    """Like `singleton`, through the tenant's cache; the document must not be changed."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    if declaration.name not in entries:
        entries[declaration.name] = await singleton(store, tenant, declaration)
    document: D = entries[declaration.name]
    return document


def typed(declaration: Collection[D], record: Record) -> D:
    """A record's document in its declared type."""
    return msgspec.convert(record.document, declaration.document)


def to_record(tenant: TenantScope, declaration: Declared, row: Any) -> Record:
    """A row of `Statements.select` with its secrets opened."""
    id_, version, created_at, updated_at, text, parent, secrets, *columns = row
    document: dict[str, Any] = msgspec.json.decode(text)
    if secrets is not None:
        plain = open_secrets(tenant, declaration, id_, bytes(secrets))
        for dotted, value in msgspec.json.decode(plain).items():
            _set(document, tuple(dotted.split(".")), value)
    named = dict(zip(project(declaration.document).columns, columns, strict=True))
    for name, value in named.items():
        if value is not None:
            document[name] = value
    return Record(id_, version, created_at, updated_at, document, parent, named)


# --- writing -----------------------------------------------------------------------------------------------------


async def create(
    tx: Transaction,
    tenant: TenantScope,
    declaration: Collection[Any],
    given: Mapping[str, Any] | msgspec.Struct,
    *,
    actor: Actor = SYSTEM,
    parent: str = "",
    server: Mapping[str, Any] | None = None,
) -> Record:
    """Validate and store a new document. `server` sets what only the server may (an id to keep, say).

    Raises InvalidBody, Conflict in the declaration's words, NotFound for a reference to nothing.
    """
    projection = project(declaration.document)
    values = accept(declaration, projection.create, given)
    values.update(server or {})
    id_ = str(values.get(declaration.key) or declaration.new_id())
    if declaration.key in projection.fields:
        values[declaration.key] = id_
    now = tenant.clock.now_ms()
    _stamp(projection, values, created=now, updated=now)
    _check_variants(projection, values)
    document = convert_body(values, declaration.document)
    change = Change(tx, tenant, document, None, values, actor, id_, parent)
    await _run_hooks(declaration, change)
    record = await insert(tx, tenant, declaration, change.document, id_=id_, parent=parent, now=now)
    if declaration.changed:
        await declaration.changed(change)
    record.document.update(change.answer)
    return record


async def update(
    tx: Transaction,
    tenant: TenantScope,
    declaration: Declared,
    id_: str,
    given: Mapping[str, Any] | msgspec.Struct,
    *,
    actor: Actor = SYSTEM,
    if_version: int | None = None,
    server: Mapping[str, Any] | None = None,
    parent: str | None = None,
    replace: bool = False,
) -> Record:
    """Merge a PATCH body into a document and store it by compare-and-set on its version.

    `server` sets what only the server may, and removes what is UNSET there.
    Raises NotFound, InvalidBody, PreconditionFailed when `if_version` is not the version, Conflict on a lost race.
    """
    projection = project(declaration.document)
    current = await read(tx, tenant, declaration, id_)
    if isinstance(declaration, Collection) and (current is None or (parent is not None and current.parent != parent)):
        raise missing(declaration)
    if if_version is not None and (current is None or current.version != if_version):
        raise PreconditionFailed("The object was changed since it was read.")
    values = accept(declaration, projection.patch, given)
    before = current.document if current else {}
    kept = {k: v for k, v in before.items() if k in projection.server_set | projection.immutable} if replace else before
    after = merge(projection, kept, values)
    after.update(server or {})
    after = {name: value for name, value in after.items() if value is not msgspec.UNSET}
    now = tenant.clock.now_ms()
    _stamp(projection, after, updated=now)
    _check_variants(projection, after)
    document = convert_body(after, declaration.document)
    previous = msgspec.convert(before, declaration.document)
    change = Change(tx, tenant, document, previous, values, actor, id_, current.parent if current else "")
    await _run_hooks(declaration, change)
    if current is None:
        record = await insert(tx, tenant, declaration, change.document, id_=id_, parent="", now=now)
    else:
        record = await save(tx, tenant, declaration, current, change.document, now=now)
    if declaration.changed:
        await declaration.changed(change)
    record.document.update(change.answer)
    return record


async def delete(
    tx: Transaction,
    tenant: TenantScope,
    declaration: Collection[Any],
    id_: str,
    *,
    actor: Actor = SYSTEM,
    parent: str | None = None,
    checked: bool = True,
) -> bool:
    """Remove a document and what hangs on it; answers whether there was one.

    What refers to it goes (`cascade`), is emptied (`clear`), or forbids it (`restrict`: Conflict). `checked` is off for
    what goes along with something else: whether it may go alone is not the question then.
    """
    current = await read(tx, tenant, declaration, id_)
    if current is None or (parent is not None and current.parent != parent):
        return False
    change = Change(
        tx, tenant, None, msgspec.convert(current.document, declaration.document), {}, actor, id_, current.parent
    )
    if declaration.check and checked:
        await declaration.check(change)
    await tenant.registry.release(tx, tenant, declaration, current, actor)
    await tx.run(statements(declaration).delete, tenant_id=tenant.id, id=id_)
    for kind in {mark.kind for mark in hidden_paths(project(declaration.document), current.document)[1].values()}:
        await vault.drop(tx, tenant, kind, f"{declaration.name}/{id_}")
    _touch(tx, tenant, declaration)
    if declaration.changed:
        await declaration.changed(change)
    return True


async def insert(
    tx: Transaction,
    tenant: TenantScope,
    declaration: Declared,
    document: Document,
    *,
    id_: str,
    parent: str = "",
    now: int,
) -> Record:
    """Store a finished document as a new row, without hooks."""
    params, record = await _row(tx, tenant, declaration, document, id_)
    params.update(tenant_id=tenant.id, id=id_, version=1, created_at=now, updated_at=now)
    if isinstance(declaration, Child):
        params["parent_id"] = parent
    try:
        await tx.run(statements(declaration).insert, **params)
    except UniqueViolation:
        raise clash(declaration) from None
    _touch(tx, tenant, declaration)
    record.version, record.created_at, record.updated_at, record.parent = 1, now, now, parent
    return record


async def save(
    tx: Transaction, tenant: TenantScope, declaration: Declared, current: Record, document: Document, *, now: int
) -> Record:
    """Store the new state of a row that was read in this transaction, without hooks. Raises Conflict on a lost race."""
    params, record = await _row(tx, tenant, declaration, document, current.id)
    params.update(tenant_id=tenant.id, id=current.id, version=current.version, updated_at=now)
    try:
        changed = await tx.run(statements(declaration).update, **params)
    except UniqueViolation:
        raise clash(declaration) from None
    if changed != 1:
        raise Conflict("The object was changed by someone else at the same time. Read it again and repeat the change.")
    _touch(tx, tenant, declaration)
    record.version, record.created_at = current.version + 1, current.created_at
    record.updated_at, record.parent = now, current.parent
    return record


def accept(declaration: Declared, type_: Any, given: Mapping[str, Any] | msgspec.Struct) -> dict[str, Any]:
    """The members of an input that were present, validated. Raises InvalidBody."""
    if not isinstance(given, msgspec.Struct):
        given = convert_body(given, _input_type(declaration, type_))
    values: dict[str, Any] = msgspec.to_builtins(given)
    return values


@cache
def _lenient(type_: Any) -> Any:
    return lenient(type_)


def _input_type(declaration: Declared, type_: Any) -> Any:
    return _lenient(type_) if declaration.unknown == "ignore" else type_


def merge(projection: Projection, before: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a PATCH makes of a document: members replace, `Merge` members merge one level, null removes there."""
    after = dict(before)
    for name, value in values.items():
        old = after.get(name)
        if name in projection.merged and isinstance(value, dict) and isinstance(old, dict):
            merged = {**old, **value}
            after[name] = {key: member for key, member in merged.items() if member is not None}
        else:
            after[name] = value
    return after


def missing(declaration: Collection[Any]) -> NotFound:
    """The 404 in the declaration's words."""
    return NotFound(declaration.not_found.message, code=declaration.not_found.code or "")


def clash(declaration: Declared) -> Conflict:
    """The 409 in the declaration's words."""
    if isinstance(declaration, Collection):
        return Conflict(declaration.conflict.message, code=declaration.conflict.code or "")
    return Conflict("Conflict")


def index_values(projection: Projection, full: dict[str, Any]) -> dict[str, str | None]:
    """The values of the columns that a document is found by."""
    return {indexed.column: indexed.value(full) for indexed in projection.indexed}


def open_secrets(tenant: TenantScope, declaration: Declared, id_: str, sealed: bytes) -> bytes:
    """A row's secret members as a JSON object by dotted path."""
    return tenant.sealer.open(sealed, context=_secrets_context(tenant, declaration, id_))


def seal_secrets(tenant: TenantScope, declaration: Declared, id_: str, secrets: Mapping[str, Any]) -> bytes:
    """The reverse of `open_secrets`."""
    return tenant.sealer.seal(msgspec.json.encode(secrets), context=_secrets_context(tenant, declaration, id_))


# --- inside ------------------------------------------------------------------------------------------------------


async def _run_hooks(declaration: Declared, change: Change) -> None:
    if declaration.prepare:
        await declaration.prepare(change)
    await change.tenant.registry.check_refs(change, declaration)
    if declaration.check:
        await declaration.check(change)


async def _row(
    tx: Transaction, tenant: TenantScope, declaration: Declared, document: Document, id_: str
) -> tuple[dict[str, Any], Record]:
    """The parameters of a document's row; sealed members go to the vault on the way."""
    projection = project(declaration.document)
    shown: dict[str, Any] = msgspec.to_builtins(document)
    for name in projection.computed:
        shown.pop(name, None)
    full = dict(shown)
    secret_paths, sealed_paths = hidden_paths(projection, shown)
    if secret_paths or sealed_paths:
        shown = msgspec.json.decode(msgspec.json.encode(shown))
        full = msgspec.json.decode(msgspec.json.encode(shown))
    secrets = {".".join(path): _pop(shown, path) for path in secret_paths if _has(shown, path)}
    for path, mark in sealed_paths.items():
        if _has(shown, path):
            value = _pop(shown, path)
            _pop(full, path)
            owner, name = f"{declaration.name}/{id_}", ".".join(path)
            if value is None:
                await vault.drop(tx, tenant, mark.kind, owner, name=name)
            else:
                await vault.put(tx, tenant, mark.kind, owner, msgspec.json.encode(value), name=name)
    params: dict[str, Any] = {name: shown.pop(name, None) for name in projection.columns}
    params.update(index_values(projection, full))
    params["document"] = msgspec.json.encode(shown).decode()
    if projection.secrets or projection.variants:
        params["secrets"] = seal_secrets(tenant, declaration, id_, secrets) if secrets else None
    return params, Record(id_, 0, 0, 0, full)


def _check_variants(projection: Projection, values: dict[str, Any]) -> None:
    """Validate objects whose shape depends on a sibling, and fill their defaults."""
    for name, variant in projection.variants.items():
        value = values.get(name)
        if value is None:
            value = {}
        shape = variant.shape(values.get(variant.by))
        checked = msgspec.to_builtins(convert_body(value, shape, inside=name))
        values[name] = {**value, **checked} if issubclass(shape, OpenPart) else checked


def _stamp(projection: Projection, values: dict[str, Any], *, created: int | None = None, updated: int) -> None:
    if created is not None and "created_at" in projection.server_set and "created_at" not in values:
        values["created_at"] = iso(created)
    if "updated_at" in projection.server_set and (created is None or "updated_at" not in values):
        values["updated_at"] = iso(updated)


def _touch(tx: Transaction, tenant: TenantScope, declaration: Declared) -> None:
    if isinstance(declaration, Singleton) or declaration.cached:
        tx.touch(tenant.id)


def _secrets_context(tenant: TenantScope, declaration: Declared, id_: str) -> str:
    return f"secrets/{tenant.id}/{declaration.name}/{id_}"


def _has(document: dict[str, Any], path: Path) -> bool:
    for name in path[:-1]:
        inner = document.get(name)
        if not isinstance(inner, dict):
            return False
        document = inner
    return path[-1] in document


def _pop(document: dict[str, Any], path: Path) -> Any:
    for name in path[:-1]:
        document = document[name]
    return document.pop(path[-1])


def _set(document: dict[str, Any], path: Path, value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value
