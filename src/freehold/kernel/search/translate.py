"""From a Lucene query to a condition in SQL whose values are all parameters.

What Auth0 documents for its user and log search (version 3) holds: terms are compared as a whole, not by words; a field
that is not there matches nothing; a literal behind a `*` has at least three characters. What it leaves open is decided
here:

- AND, OR and NOT are plain logic, AND before OR; terms side by side are joined by OR. Among those, as in Lucene, `+`
  makes a term required, and `-`, `!` and NOT one that must not match: `jane -doe` is jane without doe.
- A field that is unknown exists nowhere, so that NOT of it matches everything.
- A boost changes the order of results only, and is ignored. `?`, `~` and regular expressions are refused.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from luqum.tree import (
    AndOperation,
    BaseGroup,
    Boost,
    From,
    Fuzzy,
    Item,
    Not,
    OrOperation,
    Phrase,
    Plus,
    Prohibit,
    Proximity,
    Range,
    Regex,
    SearchField,
    Term,
    To,
    UnknownOperation,
    Word,
)

from freehold.kernel.search.fields import EVERYTHING, NOTHING, Bound, Field, FieldSet, Mismatch
from freehold.kernel.search.lucene import check_text, literals, parse, path
from freehold.kernel.search.refusals import InvalidQuery

MAX_CONDITIONS = 300
MIN_LITERAL = 3

EXISTS = "_exists_"


class Filter(msgspec.Struct, frozen=True):
    """A condition for a where clause, and its parameters. It stands in parentheses where that matters."""

    sql: str
    params: dict[str, Any]


def translate(query: str | None, fields: FieldSet, *, prefix: str = "q") -> Filter:
    """The condition a query makes over the fields; no query matches everything. Raises InvalidQuery.

    The parameters are named `q0`, `q1` ..., or with another prefix. The tenant's own condition is the caller's.
    """
    if query is None or not query.strip():
        if query:
            check_text(query)
        return Filter(EVERYTHING, {})
    translation = _Translation(fields, prefix)
    sql = translation.condition(parse(query), None)
    return Filter(f"({sql})", translation.params)


@dataclass(slots=True)
class _Translation:
    """One query on its way; the tree is bounded, so that recursion is."""

    fields: FieldSet
    prefix: str
    params: dict[str, Any] = field(default_factory=dict)
    conditions: int = 0

    def bind(self, value: Any) -> str:
        name = f"{self.prefix}{len(self.params)}"
        self.params[name] = value
        return f":{name}"

    def condition(self, item: Item, name: str | None) -> str:
        """The condition of a subtree, inside the field `name` if one is given."""
        match item:
            case BaseGroup() | Boost():
                return self.condition(item.expr, name)
            case Plus():
                return self.condition(item.a, name)
            case Not() | Prohibit():
                return _negated(self.condition(item.a, name))
            case AndOperation():
                return _joined(" and ", (self.condition(operand, name) for operand in item.operands))
            case OrOperation():
                return _joined(" or ", (self.condition(operand, name) for operand in item.operands))
            case UnknownOperation():
                return self._sequence(item.operands, name)
            case SearchField():
                return self._in_field(item, name)
            case Range() | From() | To():
                return self._range(item, name)
            case Word() | Phrase():
                return self._exists(item) if name == EXISTS else self._term(literals(item), name)
            case Fuzzy() | Proximity():
                raise InvalidQuery("Fuzzy and proximity searches (~) are not supported")
            case Regex():
                raise InvalidQuery("Regular expressions are not supported; put a value with slashes into quotes")
            case _:
                raise InvalidQuery("The query uses syntax that is not supported")

    def _sequence(self, operands: Iterable[Item], name: str | None) -> str:
        """Terms side by side: those with + are required, those with - or NOT are not to match, else one suffices."""
        required, refused, wanted = [], [], []
        for operand in operands:
            match operand:
                case Plus():
                    required.append(self.condition(operand.a, name))
                case Not() | Prohibit():
                    refused.append(_negated(self.condition(operand.a, name)))
                case _:
                    wanted.append(self.condition(operand, name))
        if wanted and not required:
            required.append(_joined(" or ", wanted))
        return _joined(" and ", [*required, *refused])

    def _in_field(self, item: SearchField, outer: str | None) -> str:
        if outer is not None:
            raise InvalidQuery("A field cannot stand inside another field; put a value that holds a colon into quotes")
        name: str = item.name
        inner = item.expr
        if name == "*":
            return EVERYTHING if isinstance(inner, Word) and inner.value == "*" else self.condition(inner, None)
        if isinstance(inner, Prohibit) and isinstance(inner.a, Word):
            # luqum reads the sign of a number as the operator.
            first, *rest = literals(inner.a)
            return self._term((f"-{first}", *rest), name)
        return self.condition(inner, name)

    def _term(self, parts: Sequence[str], name: str | None) -> str:
        if len(parts) > 1 and not any(parts):
            return EVERYTHING if name is None else self._on(name, lambda found: found.exists(self.bind))
        if any(0 < len(part) < MIN_LITERAL for part in parts[1:]):
            raise InvalidQuery(f"A literal behind the wildcard * must have {MIN_LITERAL} characters or more")
        if name is None:
            return _joined(" or ", self._anywhere(parts)) or NOTHING
        return self._on(name, lambda found: self._matches(found, parts))

    def _exists(self, item: Word | Phrase) -> str:
        raw: str = item.value
        return self._on(raw[1:-1] if isinstance(item, Phrase) else raw, lambda found: found.exists(self.bind))

    def _anywhere(self, parts: Sequence[str]) -> Iterator[str]:
        for name in self.fields.bare:
            with contextlib.suppress(Mismatch):
                yield self._on(name, lambda found: self._matches(found, parts))

    def _matches(self, found: Field, parts: Sequence[str]) -> str:
        return found.like(parts, self.bind) if len(parts) > 1 else found.equals(parts[0], self.bind)

    def _range(self, item: Range | From | To, name: str | None) -> str:
        if name is None or name == EXISTS:
            raise InvalidQuery("A range needs a field, as in logins_count:[100 TO 200]")
        match item:
            case Range():
                low, high = Bound(_bound(item.low), item.include_low), Bound(_bound(item.high), item.include_high)
            case From():
                low, high = Bound(_bound(item.a), item.include), Bound(None, True)
            case _:
                low, high = Bound(None, True), Bound(_bound(item.a), item.include)
        return self._on(name, lambda found: found.between(low, high, self.bind))

    def _on(self, name: str, make: Callable[[Field], str]) -> str:
        """The condition on a field by its name as the query writes it."""
        found = self.fields.find(path(name))
        if found is None:
            return NOTHING
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise InvalidQuery(f"The query comes to more than {MAX_CONDITIONS} conditions")
        return make(found)


def _negated(sql: str) -> str:
    # `is not true` rather than `not`: what is absent, and so null, does not match and its negation does.
    return f"(({sql}) is not true)"


def _joined(word: str, conditions: Iterable[str]) -> str:
    found = list(conditions)
    return f"({word.join(found)})" if len(found) > 1 else "".join(found)


def _bound(item: Item) -> str | None:
    """The text of a range's end, None for `*`."""
    sign = ""
    if isinstance(item, Prohibit):
        sign, item = "-", item.a
    assert isinstance(item, Term)
    parts = literals(item)
    if len(parts) == 1:
        return sign + parts[0]
    if any(parts) or sign:
        raise InvalidQuery("The end of a range is a value or *")
    return None
