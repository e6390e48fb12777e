"""The `fields` and `include_fields` parameters: which members of a document an answer shows."""

from dataclasses import dataclass
from typing import Any

from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Fields:
    """A choice of members; `names` empty means all."""

    names: frozenset[str]
    include: bool = True

    @classmethod
    def of(cls, call: Call) -> "Fields":
        """The choice a request makes. Raises BadRequest for a malformed one."""
        raw = call.query("fields")
        include = call.query("include_fields")
        if include not in {None, "true", "false"}:
            raise BadRequest(
                "Query validation error: 'Expected type boolean but found type string' on property include_fields.",
                code="invalid_query_string",
            )
        names = frozenset(name.strip() for name in raw.split(",") if name.strip()) if raw else frozenset()
        return cls(names, include != "false")

    def apply(self, document: dict[str, Any], *, always: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The chosen members and those that are `always` shown; a dotted name chooses inside an object."""
        if not self.names:
            return document
        if not self.include:
            return {key: value for key, value in document.items() if key not in self.names}
        plain = {key: value for key, value in document.items() if key in self.names or key in always}
        for name in self.names:
            head, dot, rest = name.partition(".")
            inner = document.get(head)
            if dot and head not in plain and isinstance(inner, dict) and rest in inner:
                plain.setdefault(head, {})[rest] = inner[rest]
        return plain
