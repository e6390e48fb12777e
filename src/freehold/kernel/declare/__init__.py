"""The vocabulary in which a tenant's data is declared once.

A declaration is a frozen value (`shapes`) of a typed document whose fields carry markers (`markers`). `compile` turns it
into projections once, at import; `documents` is the one pipeline that reads and writes; `registry` knows them all.
"""

from freehold.kernel.declare.markers import (
    Computed,
    Immutable,
    InColumn,
    Indexed,
    Length,
    Merge,
    Pattern,
    Range,
    Ref,
    Sealed,
    Secret,
    ServerSet,
    Unique,
    Variant,
)
from freehold.kernel.declare.scope import SYSTEM, Actor, Change, EventSink, TenantScope
from freehold.kernel.declare.shapes import (
    ALL_OPERATIONS,
    Child,
    Collection,
    Derived,
    Document,
    Ephemeral,
    Filter,
    Link,
    OpenPart,
    Operation,
    Package,
    Part,
    Scopes,
    Singleton,
    Stored,
    Text,
    VaultKind,
)

__all__ = [
    "ALL_OPERATIONS", "SYSTEM", "Actor", "Change", "Child", "Collection", "Computed", "Derived", "Document",
    "Ephemeral", "EventSink", "Filter", "Immutable", "InColumn", "Indexed", "Length", "Link", "Merge", "OpenPart",
    "Operation", "Package", "Part", "Pattern", "Range", "Ref", "Scopes", "Sealed", "Secret", "ServerSet", "Singleton",
    "Stored", "TenantScope", "Text", "Unique", "VaultKind", "Variant",
]  # fmt: skip
