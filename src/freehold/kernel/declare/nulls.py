"""What null means in a write: the member goes (recorded for clients, connections, grants and settings)."""

import msgspec
from msgspec import UNSET

from freehold.kernel.declare.shapes import Document


def clear(document: Document, *, keep: frozenset[str] = frozenset()) -> None:
    """Unset every top-level member that is null, but for those in `keep`."""
    for field in msgspec.structs.fields(document):
        if field.name not in keep and getattr(document, field.name) is None:
            setattr(document, field.name, UNSET)
