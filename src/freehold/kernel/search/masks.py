"""The `fields` and `include_fields` parameters: which members of a document an answer shows.

A mask works on JSON text and reads only what it must: the members of the outermost object, and for a dotted name those
of the objects on its way. Everything else is passed on as it is. An array stands for its elements.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from freehold.kernel.search.paging import Get, read_boolean
from freehold.kernel.search.refusals import InvalidParameter

MAX_LENGTH = 4096
MAX_DEPTH = 20

Tree: TypeAlias = dict[str, "Tree"]
"""Names by level; one with nothing below it means all of its value."""


class Mask(msgspec.Struct, frozen=True):
    """A choice of members, to show or, with `include` false, to leave out."""

    tree: Tree
    include: bool = True

    def of_text(self, document: str | bytes) -> dict[str, Any]:
        """The chosen part of a JSON object; what is taken over whole is `msgspec.Raw` in it."""
        return self.of_object(_MEMBERS.decode(document))

    def of_object(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The chosen part of a decoded object."""
        shown: dict[str, Any] = (_chosen if self.include else _rest)(document, self.tree)
        return shown

    def keeping(self, names: Iterable[str]) -> "Mask":
        """The same choice, with these shown whatever was chosen; what was left out by name stays out."""
        return Mask({**self.tree, **{name: {} for name in names}}) if self.include else self


def read_mask(get: Get, allowed: Collection[str] | None = None) -> Mask | None:
    """The choice a request makes, None for the whole document.

    `allowed` has the names at the top of such a document, None to allow all. Raises InvalidParameter.
    """
    include = read_boolean(get, "include_fields", default=True)
    names = get("fields")
    if not names:
        return None
    if len(names) > MAX_LENGTH:
        raise InvalidParameter(f"String is too long ({len(names)} chars), maximum {MAX_LENGTH}", "fields")
    tree = _tree(name for part in names.split(",") if (name := part.strip()))
    unknown = next((name for name in tree if allowed is not None and name not in allowed), None)
    if unknown is not None:
        raise InvalidParameter(
            f"String '{unknown[:40]}' does not match pattern. Must be a comma separated list of the following values: "
            + ",".join(allowed or ()),
            "fields",
        )
    return Mask(tree, include) if tree else None


def _tree(names: Iterable[str]) -> Tree:
    tree: Tree = {}
    # Shorter names first: a name means all of its value, whatever else is said about parts of it.
    for steps in sorted((name.split(".", MAX_DEPTH) for name in names), key=len):
        inner = tree
        for step in steps[:-1]:
            if inner.get(step) == {}:
                break
            inner = inner.setdefault(step, {})
        else:
            inner[steps[-1]] = {}
    return tree


def _chosen(value: Any, tree: Tree) -> Any:
    """The members in the tree; `_NOTHING` where the tree goes deeper than the value."""
    if not tree:
        return value
    opened = _opened(value)
    if isinstance(opened, Mapping):
        shown = {}
        for name, below in tree.items():
            if name in opened:
                inner = _chosen(opened[name], below) if below else opened[name]
                if inner is not _NOTHING:
                    shown[name] = inner
        return shown
    if isinstance(opened, list):
        return [kept for element in opened if (kept := _chosen(element, tree)) is not _NOTHING]
    return _NOTHING


def _rest(value: Any, tree: Tree) -> Any:
    """What remains without the members in the tree."""
    opened = _opened(value)
    if isinstance(opened, Mapping):
        return {
            name: _rest(inner, tree[name]) if name in tree else inner
            for name, inner in opened.items()
            if name not in tree or tree[name]
        }
    if isinstance(opened, list):
        return [_rest(element, tree) for element in opened]
    return value


def _opened(value: Any) -> Any:
    """One level of a JSON text: an object's members, an array's elements, None for others. Values are as they are."""
    if not isinstance(value, msgspec.Raw):
        return value
    match bytes(value)[:1]:
        case b"{":
            return _MEMBERS.decode(value)
        case b"[":
            return _ELEMENTS.decode(value)
    return None


_NOTHING = object()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
