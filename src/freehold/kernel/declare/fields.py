"""The `fields` and `include_fields` parameters of a call: which members of a document an answer shows."""

from typing import Any

import msgspec

from freehold.kernel.declare.call import Call
from freehold.kernel.declare.compile import project
from freehold.kernel.declare.shapes import Document
from freehold.kernel.search.masks import Mask, read_mask


class Fields(msgspec.Struct, frozen=True):
    """A choice of members; without a mask, all."""

    mask: Mask | None

    @classmethod
    def of(cls, call: Call, document: type[Document] | None = None) -> "Fields":
        """The choice a request makes among the members of a document; None where those are not known beforehand.

        Raises BadRequest for a malformed choice and for a member that such a document cannot have.
        """
        if not call.request.scope["query_string"]:
            return _EVERYTHING
        return cls(read_mask(call.query, project(document).fields if document is not None else None))

    @property
    def names(self) -> frozenset[str]:
        """The members that the choice names; none when it is everything."""
        return frozenset(self.mask.tree) if self.mask else frozenset()

    def apply(self, document: dict[str, Any], *, always: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The chosen members and those that are `always` shown; a dotted name chooses inside an object."""
        return document if self.mask is None else self.mask.keeping(always).of_object(document)


_EVERYTHING = Fields(None)
