"""Markers: what a field's type cannot say.

A marker wraps the whole type, `Annotated[str | None, Secret(...)]`; one hidden inside a union is refused when the
declaration is compiled, because the annotation would be lost silently there.
The table of what each marker means for storage, input, output, export and logs is in `docs/decisions/0002`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

OnDelete = Literal["restrict", "cascade", "clear"]


class Marker(msgspec.Struct, frozen=True):
    """Base of all markers, so that a misplaced one can be recognised."""


class ServerSet(Marker, frozen=True):
    """Set by the server; refused in input; exported, and kept on import."""


class Immutable(Marker, frozen=True):
    """Accepted when the object is created and never afterwards."""


class Secret(Marker, frozen=True):
    """Encrypted at rest; served when created and to holders of one of the scopes; exported in clear."""

    readable_with: tuple[str, ...] = ()


class Sealed(Marker, frozen=True):
    """Kept in the vault under `kind`; accepted, never served, never in an ordinary export."""

    kind: str


class Unique(Marker, frozen=True):
    """No two objects of a tenant share the value, together with the fields in `within`; a clash is a 409."""

    within: tuple[str, ...] = ()
    canonical: Callable[[Any], str] | None = None
    """Maps the value to the form that is compared (case folding, say); None compares it as it is."""


class Indexed(Marker, frozen=True):
    """Looked up by; gets a column and an index of its own."""

    canonical: Callable[[Any], str] | None = None


class IndexedPart(Marker, frozen=True):
    """A value taken out of this field gets a column `ix_` + `name`, to look up by or to be in a `Unique.within`.

    It is no member of its own: it is neither stored twice in the document, accepted nor served.
    """

    name: str
    extract: Callable[[Any], str | None]
    index: bool = True
    """Whether the column has an index of its own; without, it costs nothing but its bytes."""


class Ref(Marker, frozen=True):
    """Names another object; `to` is a declaration's name, `field` the referred field (default: its key)."""

    to: str
    on_delete: OnDelete = "restrict"
    field: str | None = None


class Computed(Marker, frozen=True):
    """Made up at each read by `compute(reader, tenant, document)`; never stored, accepted or exported.

    With `scopes`, shown only to callers who hold one of them. With `accepted`, input may have it all the same: the
    hooks find it in the document and put it where `compute` will look (a list of ids that is kept as a Link, say).
    """

    compute: Callable[..., Awaitable[Any]]
    scopes: tuple[str, ...] = ()
    accepted: bool = False


class Merge(Marker, frozen=True):
    """A PATCH merges this object one level deep, null removing a member, instead of replacing it."""


class InColumn(Marker, frozen=True):
    """Kept in a typed column beside the document, for what changes at each request; merged when served.

    Written when the row is inserted, and then only by statements of the feature's own: an update of the document leaves
    the column alone, so that it loses nothing that happened meanwhile.
    """

    type: Literal["text", "bigint"]


class Variant(Marker, frozen=True, eq=False):
    """An object whose shape depends on the sibling field `by`: `shapes` maps its value to a Struct.

    `default` is the shape of values without an entry. Markers inside the shapes count.
    """

    by: str
    shapes: Any
    default: type[msgspec.Struct]

    def shape(self, value: object) -> type[msgspec.Struct]:
        """The Struct for a value of the sibling field."""
        found: type[msgspec.Struct] = self.shapes.get(value, self.default)
        return found


def Length(minimum: int, maximum: int) -> msgspec.Meta:  # noqa: N802 - reads as a marker
    """Bounds of a string's or list's length, both inclusive."""
    return msgspec.Meta(min_length=minimum, max_length=maximum)


def Pattern(expression: str) -> msgspec.Meta:  # noqa: N802 - reads as a marker
    """A regular expression that a string must match somewhere; anchor it."""
    return msgspec.Meta(pattern=expression)


def Range(minimum: float, maximum: float) -> msgspec.Meta:  # noqa: N802 - reads as a marker
    """Bounds of a number, both inclusive."""
    return msgspec.Meta(ge=minimum, le=maximum)
