"""Projections of a document, compiled once at import.

From a Document and its markers follow the type a create body is decoded to, the type of a PATCH body, which members
are secret, sealed or computed and where, and the table with its indexes. Reflection happens here and nowhere else.
"""

import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from freehold.kernel.declare import markers as m
from freehold.kernel.declare.shapes import Child, Collection, Document, Link, Singleton
from freehold.kernel.store.schema import Column, Index, Table

Path = tuple[str, ...]


class DeclarationError(Exception):
    """A declaration that contradicts itself; the program does not start."""


class IndexedField(msgspec.Struct, frozen=True):
    """A field with a column of its own, `ix_` + name, and how its value gets there."""

    name: str
    column: str
    canonical: Callable[[Any], str] | None
    unique_within: tuple[str, ...] | None = None
    """None: not unique; else the other fields of the unique index."""
    source: str = ""
    """The field the value is taken from by `extract`, when it is a part of one."""
    extract: Callable[[Any], str | None] | None = None
    index: bool = True

    def value(self, document: Mapping[str, Any]) -> str | None:
        """What the column holds for a document."""
        if self.extract is not None:
            return self.extract(document.get(self.source))
        found = document.get(self.name)
        if found is None:
            return None
        return self.canonical(str(found)) if self.canonical else str(found)


class Projection(msgspec.Struct, frozen=True):
    """All that is known of one document type."""

    document: type[Document]
    create: Any
    patch: Any
    create_variants: bool
    fields: tuple[str, ...]
    server_set: frozenset[str]
    immutable: frozenset[str]
    merged: frozenset[str]
    nullable: frozenset[str]
    secrets: dict[Path, m.Secret]
    sealed: dict[Path, m.Sealed]
    computed: dict[str, m.Computed]
    variants: dict[str, m.Variant]
    columns: dict[str, m.InColumn]
    refs: dict[str, m.Ref]
    indexed: tuple[IndexedField, ...]
    decoder: msgspec.json.Decoder[Any]

    @property
    def spliceable(self) -> bool:
        """Whether the stored text is the answer to callers without special scopes."""
        return not self.computed and not self.columns


def hidden_paths(projection: Projection, document: dict[str, Any]) -> tuple[dict[Path, m.Secret], dict[Path, m.Sealed]]:
    """Secret and sealed paths of this very document: those of its type and of its variants' shapes."""
    if not projection.variants:
        return projection.secrets, projection.sealed
    secrets, sealed = dict(projection.secrets), dict(projection.sealed)
    for name, variant in projection.variants.items():
        shape = variant.shape(document.get(variant.by))
        for field in msgspec.structs.fields(shape):
            for marker in _markers(field.type, shape.__name__, field.name):
                if isinstance(marker, m.Secret):
                    secrets[(name, field.encode_name)] = marker
                elif isinstance(marker, m.Sealed):
                    sealed[(name, field.encode_name)] = marker
    return secrets, sealed


_projections: dict[type[Document], Projection] = {}


def project(document: type[Document]) -> Projection:
    """The projections of a document type, compiled at first use. Raises DeclarationError."""
    projection = _projections.get(document)
    if projection is None:
        projection = _projections[document] = _compile(document)
    return projection


def _compile(document: type[Document]) -> Projection:
    """Compile a document type. Raises DeclarationError when markers contradict or are misplaced."""
    hints = typing.get_type_hints(document, include_extras=True)
    create: list[Any] = []
    patch: list[Any] = []
    found: dict[str, Any] = {
        "server_set": set(), "immutable": set(), "merged": set(), "secrets": {}, "sealed": {}, "computed": {},
        "variants": {}, "columns": {}, "refs": {}, "nullable": set(),
    }  # fmt: skip
    indexed: list[IndexedField] = []
    names: list[str] = []
    for field in msgspec.structs.fields(document):
        name, annotation = field.encode_name, hints[field.name]
        names.append(name)
        marks = _markers(annotation, document.__name__, name)
        _check_parts(annotation)
        readonly = _note(found, indexed, name, marks, field)
        if type(None) in _members(annotation):
            found["nullable"].add(name)
        if readonly:
            continue
        optional = annotation | UnsetType if not _has_unset(annotation) else annotation
        create.append((name, annotation) if field.required else (name, optional, UNSET))
        if name not in found["immutable"]:
            patch.append((name, optional, UNSET))
    title = document.__name__
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(document)
    return Projection(
        document=document,
        create=_struct(f"{title}Create", create),
        patch=_struct(f"{title}Patch", patch),
        create_variants=bool(found["variants"]),
        fields=tuple(names),
        server_set=frozenset(found["server_set"]),
        immutable=frozenset(found["immutable"]),
        merged=frozenset(found["merged"]),
        nullable=frozenset(found["nullable"]),
        secrets=found["secrets"],
        sealed=found["sealed"],
        computed=found["computed"],
        variants=found["variants"],
        columns=found["columns"],
        refs=found["refs"],
        indexed=tuple(indexed),
        decoder=decoder,
    )


def lenient(struct: Any) -> Any:
    """The same input type, ignoring unknown members instead of refusing them."""
    fields = [(f.name, f.type) if f.required else (f.name, f.type, f.default) for f in msgspec.structs.fields(struct)]
    return msgspec.defstruct(struct.__name__ + "Lenient", fields, kw_only=True)


@cache
def table_of(declaration: Collection[Any] | Singleton[Any] | Link) -> Table:
    """The table a declaration stores its rows in."""
    tenant = Column("tenant_id", "text")
    if isinstance(declaration, Link):
        return Table(
            declaration.table,
            (tenant, Column("left_id", "text"), Column("right_id", "text"), Column("created_at", "bigint")),
            key=("tenant_id", "left_id", "right_id"),
            indexes=(Index(("tenant_id", "right_id", "left_id")),),
        )
    projection = project(declaration.document)
    columns = [tenant, Column("id", "text")]
    indexes: list[Index] = []
    if isinstance(declaration, Child):
        columns.append(Column("parent_id", "text"))
        indexes.append(Index(("tenant_id", "parent_id", "id")))
    columns += [
        Column("version", "bigint"),
        Column("created_at", "bigint"),
        Column("updated_at", "bigint"),
        Column("document", "text"),
    ]
    if projection.secrets or projection.variants:
        columns.append(Column("secrets", "bytea", null=True))
    columns += [Column(name, column.type, null=True) for name, column in projection.columns.items()]
    for field in projection.indexed:
        columns.append(Column(field.column, "text", null=True))
        if field.unique_within is not None:
            # The field's own column first: so the index also finds by the field alone.
            within = tuple("parent_id" if w == "parent" else f"ix_{w}" for w in field.unique_within)
            indexes.append(
                Index(("tenant_id", field.column, *within), unique=True, where=f"{field.column} is not null")
            )
        elif field.index:
            indexes.append(Index(("tenant_id", field.column, "id")))
    # Rows as long as documents make a tree without rowids deep: its inner pages would hold whole rows.
    return Table(declaration.name, tuple(columns), key=("tenant_id", "id"), indexes=tuple(indexes), without_rowid=False)


def _note(found: dict[str, Any], indexed: list[IndexedField], name: str, marks: list[m.Marker], field: Any) -> bool:
    """File one field under its markers; answers whether input may not set it."""
    readonly = False
    for mark in marks:
        match mark:
            case m.ServerSet():
                found["server_set"].add(name)
                readonly = True
            case m.Immutable():
                found["immutable"].add(name)
            case m.Merge():
                found["merged"].add(name)
            case m.Secret():
                found["secrets"][(name,)] = mark
            case m.Sealed():
                found["sealed"][(name,)] = mark
            case m.Computed():
                found["computed"][name] = mark
                readonly = not mark.accepted
            case m.Variant():
                found["variants"][name] = mark
            case m.InColumn():
                found["columns"][name] = mark
            case m.Ref():
                found["refs"][name] = mark
                if not any(isinstance(other, m.Unique | m.Indexed) for other in marks):
                    indexed.append(IndexedField(name, f"ix_{name}", None))
            case m.Unique():
                indexed.append(IndexedField(name, f"ix_{name}", mark.canonical, mark.within))
            case m.IndexedPart():
                indexed.append(
                    IndexedField(
                        mark.name, f"ix_{mark.name}", None, source=name, extract=mark.extract, index=mark.index
                    )
                )
            case m.Indexed():
                indexed.append(IndexedField(name, f"ix_{name}", mark.canonical))
    hidden = any(isinstance(mark, m.Secret | m.Sealed | m.Computed | m.InColumn) for mark in marks)
    if hidden and field.required:
        raise DeclarationError(f"{name}: a field kept outside the document needs the default UNSET")
    if name in found["columns"] and not readonly:
        raise DeclarationError(f"{name}: a field in a column is set by the server only")
    if len([mark for mark in marks if isinstance(mark, m.Secret | m.Sealed | m.Computed)]) > 1:
        raise DeclarationError(f"{name}: Secret, Sealed and Computed exclude each other")
    return readonly


def _check_parts(annotation: Any) -> None:
    """Refuse markers inside the structs of a field, which nothing would heed: a secret there would be served.

    What only a part of an object keeps to itself is declared as a `Variant`.
    """
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        for field in msgspec.structs.fields(annotation):
            if _markers(field.type, annotation.__name__, field.name):
                raise DeclarationError(f"{annotation.__name__}.{field.name}: a marker inside a part has no effect")
            _check_parts(field.type)
    for inner in get_args(annotation):
        _check_parts(inner)


def _markers(annotation: Any, owner: str, name: str) -> list[m.Marker]:
    """The markers that wrap a whole annotation. Raises DeclarationError for one that is hidden inside it."""
    outer: list[m.Marker] = []
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        outer = [extra for extra in extras if isinstance(extra, m.Marker)]
        annotation = inner
    if _buried(annotation):
        raise DeclarationError(f"{owner}.{name}: a marker must wrap the whole type: Annotated[str | None, ...]")
    return outer


def _buried(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        return any(isinstance(extra, m.Marker) for extra in extras) or _buried(inner)
    return any(_buried(argument) for argument in get_args(annotation))


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)


def _has_unset(annotation: Any) -> bool:
    return UnsetType in _members(annotation)


def _struct(name: str, fields: list[Any]) -> Any:
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


__all__ = ["DeclarationError", "IndexedField", "Path", "Projection", "hidden_paths", "lenient", "project", "table_of"]
