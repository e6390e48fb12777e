"""One row of each kind of declaration as a line of JSON, and back.

Stored JSON text is copied as it is, never decoded and encoded again: members keep their order and numbers their
spelling. The tenant's id is in the manifest and not in the rows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from freehold.kernel.declare import documents
from freehold.kernel.declare.compile import project, table_of
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import (
    Child,
    Collection,
    Declaration,
    Derived,
    Ephemeral,
    Link,
    Singleton,
    VaultKind,
)
from freehold.kernel.store import Row
from freehold.kernel.store.schema import Table

_json_lines = msgspec.json.Encoder().encode_lines


class RowForm(msgspec.Struct, frozen=True):
    """How the rows of one declaration are read, written as lines, and inserted again."""

    name: str
    select: str
    insert: str
    encode: Callable[[TenantScope, Sequence[Row]], bytes]
    """Rows as lines, each with its line feed."""
    decode: Callable[[TenantScope, bytes], dict[str, Any]]
    line_type: Any
    """The type of a line, for the JSON Schema."""


def row_form(declaration: Declaration) -> RowForm | None:
    """The form of a declaration's rows; None for what an archive does not hold."""
    if isinstance(declaration, Ephemeral | Derived | VaultKind):
        return None
    if isinstance(declaration, Collection | Singleton):
        return _document_form(declaration)
    if isinstance(declaration, Link):
        return _typed_form(table_of(declaration), frozenset())
    return _typed_form(declaration.table, declaration.json_columns)


def _document_form(declaration: Collection[Any] | Singleton[Any]) -> RowForm:
    projection = project(declaration.document)
    table = table_of(declaration)
    child = isinstance(declaration, Child)
    has_secrets = any(column.name == "secrets" for column in table.columns)
    typed = tuple(projection.columns)
    selected = ["id", "version", "created_at", "updated_at", "document"]
    selected += ["parent_id"] if child else []
    selected += ["secrets"] if has_secrets else []
    selected += list(typed)
    fields: list[Any] = [
        ("id", str), ("version", int), ("created_at", int), ("updated_at", int), ("document", declaration.document),
    ]  # fmt: skip
    fields += [("parent", str)] if child else []
    fields += [("secrets", dict[str, Any] | UnsetType, UNSET)] if has_secrets else []
    for name in typed:
        kind = str if projection.columns[name].type == "text" else int
        fields.append((name, kind | UnsetType, UNSET))
    raw_fields = [("document", Raw) if field[0] == "document" else field for field in fields]
    line_type = msgspec.defstruct(f"{projection.document.__name__}Row", fields, kw_only=True)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
        msgspec.defstruct(f"{projection.document.__name__}Line", raw_fields, kw_only=True, forbid_unknown_fields=True)
    )
    own = ["id", "version", "created_at", "updated_at", "document", *(["parent"] if child else [])]
    line = _line(f"{projection.document.__name__}Written", own, [*(["secrets"] if has_secrets else []), *typed])
    secrets_at = len(own)

    def encode(tenant: TenantScope, rows: Sequence[Row]) -> bytes:
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        columns[4] = map(Raw, columns[4])
        if has_secrets:
            sealed = zip(columns[0], columns[secrets_at], strict=True)
            columns[secrets_at] = [
                None if value is None else Raw(documents.open_secrets(tenant, declaration, id_, bytes(value)))
                for id_, value in sealed
            ]
        return _json_lines(list(map(line, *columns)))

    def decode(tenant: TenantScope, line: bytes) -> dict[str, Any]:
        read = decoder.decode(line)
        text = bytes(read.document).decode()
        params: dict[str, Any] = {
            "tenant_id": tenant.id, "id": read.id, "version": read.version, "created_at": read.created_at,
            "updated_at": read.updated_at, "document": text,
        }  # fmt: skip
        if child:
            params["parent_id"] = read.parent
        full: dict[str, Any] = msgspec.json.decode(text)
        if has_secrets:
            secrets = read.secrets if read.secrets is not UNSET else None
            params["secrets"] = None
            if secrets:
                params["secrets"] = documents.seal_secrets(tenant, declaration, read.id, secrets)
                for path, value in secrets.items():
                    full.setdefault(path, value)
        for name in typed:
            value = getattr(read, name)
            params[name] = None if value is UNSET else value
        params.update(documents.index_values(projection, full))
        return params

    return RowForm(
        declaration.name,
        f"select {', '.join(selected)} from {table.name} where tenant_id = :tenant_id order by id",  # noqa: S608 - declared names
        documents.statements(declaration).insert,
        encode,
        decode,
        line_type,
    )


def _line(title: str, always: Sequence[str], maybe: Sequence[str]) -> Callable[..., Any]:
    """What makes a line of values in this order; those that may be missing are left out when they are None."""
    fields: list[Any] = [(name, Any) for name in always]
    fields += [(name, Any, None) for name in maybe]
    return msgspec.defstruct(title, fields, omit_defaults=True, gc=False)


def _typed_form(table: Table, json_columns: frozenset[str]) -> RowForm:
    names = [column.name for column in table.columns if column.name != "tenant_id"]
    kinds: dict[str, Any] = {"text": str, "bigint": int, "real": float, "bytea": bytes}
    shown: list[Any] = []
    raw: list[Any] = []
    for column in table.columns:
        if column.name == "tenant_id":
            continue
        kind = Any if column.name in json_columns else kinds[column.type]
        held = Raw if column.name in json_columns else kinds[column.type]
        if column.null:
            shown.append((column.name, kind | UnsetType if kind is not Any else Any, UNSET))
            raw.append((column.name, held | UnsetType, UNSET))
        else:
            shown.append((column.name, kind))
            raw.append((column.name, held))
    title = table.name.title().replace("_", "")
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
        msgspec.defstruct(f"{title}Line", raw, kw_only=True, forbid_unknown_fields=True)
    )
    line = _line(f"{title}Written", [], names)
    texts = [position for position, name in enumerate(names) if name in json_columns]
    order = ", ".join(name for name in table.key if name != "tenant_id") or names[0]

    def encode(_tenant: TenantScope, rows: Sequence[Row]) -> bytes:
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for position in texts:
            columns[position] = [None if value is None else Raw(value) for value in columns[position]]
        return _json_lines(list(map(line, *columns)))

    def decode(tenant: TenantScope, text: bytes) -> dict[str, Any]:
        read = decoder.decode(text)
        params: dict[str, Any] = {"tenant_id": tenant.id}
        for name in names:
            value = getattr(read, name)
            if value is UNSET:
                params[name] = None
            else:
                params[name] = bytes(value).decode() if name in json_columns else value
        return params

    columns = ["tenant_id", *names]
    return RowForm(
        table.name,
        f"select {', '.join(names)} from {table.name} where tenant_id = :tenant_id order by {order}",  # noqa: S608 - declared names
        f"insert into {table.name} ({', '.join(columns)}) values ({', '.join(':' + c for c in columns)})",  # noqa: S608 - declared names
        encode,
        decode,
        msgspec.defstruct(f"{title}Row", shown, kw_only=True),
    )
