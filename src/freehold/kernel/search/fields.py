"""What can be searched: each field's name, where its value stands, and how it is compared.

A `FieldSet` is the allow-list of one resource. A query names fields only through it, so that no name reaches a column,
another tenant or a secret by itself; values reach the database as parameters. The SQL in here comes from the
declaration, never from a request.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from freehold.kernel.search import values
from freehold.kernel.search.refusals import InvalidQuery
from freehold.kernel.store import JsonWalk, UnsupportedPath, Wildcard

Bind = Callable[[Any], str]
"""Takes a value, answers the name of its parameter with the colon."""

NOTHING = "1 = 0"
EVERYTHING = "1 = 1"

_BIGINT_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range: a text, or None for `*`."""

    text: str | None
    inclusive: bool


class Mismatch(InvalidQuery):
    """The text cannot be a value of this field; a bare term passes over such fields."""


class Field(ABC):
    """A searchable value. Each method answers a condition in SQL, which may be null where the value is absent."""

    null: bool = True
    """Whether the value may be absent, as far as sorting is concerned."""

    @abstractmethod
    def equals(self, text: str, bind: Bind) -> str:
        """The value is what the text says. Raises Mismatch."""

    @abstractmethod
    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """The value has the literals in this order, anything between them. Raises Mismatch."""

    @abstractmethod
    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """The value lies in the range. Raises Mismatch."""

    @abstractmethod
    def exists(self, bind: Bind) -> str:
        """There is a value."""

    def below(self, path: Sequence[str]) -> "Field | None":
        """The field of a member inside this one's value, None where there cannot be one."""
        return None

    def order(self) -> str | None:
        """What to sort by, None where that is not offered."""
        return None


class ColumnField(Field):
    """A value in a column, or in an expression over columns."""

    sql: str

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """Only text has a form."""
        raise Mismatch("Wildcards are only available on text fields")

    def exists(self, bind: Bind) -> str:
        """There is a value."""
        return f"{self.sql} is not null"

    def order(self) -> str | None:
        """What to sort by."""
        return self.sql


@dataclass(frozen=True, slots=True)
class TextField(ColumnField):
    """Text, compared as a whole. `folded`: the column holds `str.lower()` of the value; the query is lowered too."""

    sql: str
    folded: bool = False
    null: bool = True
    wildcards: bool = True
    ranges: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """The same text."""
        return f"{self.sql} = {bind(self._fold(text))}"

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """The same form."""
        if not self.wildcards:
            raise Mismatch("Wildcards are not available on this field")
        return f"wildcard({self.sql}, {bind(Wildcard(map(self._fold, literals)))})"

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """In the order of bytes."""
        if not self.ranges:
            raise Mismatch("Ranges are not available on this field")
        low_text = None if low.text is None else self._fold(low.text)
        high_text = None if high.text is None else self._fold(high.text)
        return _between(self.sql, (low_text, low.inclusive), (high_text, high.inclusive), bind)

    def _fold(self, text: str) -> str:
        return text.lower() if self.folded else text


@dataclass(frozen=True, slots=True)
class NumberField(ColumnField):
    """A number; `whole` for a column of type bigint."""

    sql: str
    whole: bool = True
    null: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """The same number."""
        value = self._number(text)
        if self.whole:
            whole = values.integer(text)
            if whole is None or abs(whole) > _BIGINT_MAX:
                return NOTHING
            return f"{self.sql} = {bind(whole)}"
        return f"{self.sql} = {bind(value)}"

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """In the order of numbers."""
        low_value = None if low.text is None else self._number(low.text)
        high_value = None if high.text is None else self._number(high.text)
        if not self.whole:
            return _between(self.sql, (low_value, low.inclusive), (high_value, high.inclusive), bind)
        conditions = []
        if low.text is not None:
            least = _whole(low.text, math.ceil)
            least += not low.inclusive and values.integer(low.text) is not None
            if least > _BIGINT_MAX:
                return NOTHING
            conditions.append(f"{self.sql} >= {bind(max(least, -_BIGINT_MAX))}")
        if high.text is not None:
            most = _whole(high.text, math.floor)
            most -= not high.inclusive and values.integer(high.text) is not None
            if most < -_BIGINT_MAX:
                return NOTHING
            conditions.append(f"{self.sql} <= {bind(min(most, _BIGINT_MAX))}")
        return _all(conditions) or self.exists(bind)

    def _number(self, text: str) -> float:
        value = values.number(text)
        if value is None:
            raise Mismatch("A number is expected on a numeric field")
        return value


@dataclass(frozen=True, slots=True)
class BooleanField(ColumnField):
    """True or false, in a column of type bigint."""

    sql: str
    null: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """The same truth value."""
        value = values.boolean(text)
        if value is None:
            raise Mismatch("true or false is expected on a boolean field")
        return f"{self.sql} = {bind(int(value))}"

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """Truth has no order."""
        raise Mismatch("Ranges are not available on boolean fields")


@dataclass(frozen=True, slots=True)
class DateField(ColumnField):
    """A time in ms since the epoch. A text names a stretch as long as its precision: `2018-12` is the whole month."""

    sql: str
    null: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """Within the stretch."""
        start_ms, end_ms = self._span(text)
        return f"({self.sql} >= {bind(start_ms)} and {self.sql} < {bind(end_ms)})"

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """An inclusive bound takes its whole stretch in, an exclusive one leaves all of it out."""
        conditions = []
        if low.text is not None:
            start_ms, end_ms = self._span(low.text)
            conditions.append(f"{self.sql} >= {bind(start_ms if low.inclusive else end_ms)}")
        if high.text is not None:
            start_ms, end_ms = self._span(high.text)
            conditions.append(f"{self.sql} < {bind(end_ms if high.inclusive else start_ms)}")
        return _all(conditions) or self.exists(bind)

    def _span(self, text: str) -> values.Span:
        found = values.span(text)
        if found is None:
            raise Mismatch("A date such as 2018-12-31 or 2018-12-31T23:59:59Z is expected on a date field")
        return found


@dataclass(frozen=True, slots=True)
class DomainField(ColumnField):
    """What stands behind the @ of the addresses in a column; `folded` as in `TextField`."""

    sql: str
    folded: bool = True
    null: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """The same domain."""
        return self.like((text,), bind)

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """The domain has this form."""
        first, *rest = (text.lower() if self.folded else text for text in literals)
        return f"wildcard({self.sql}, {bind(Wildcard(('', '@' + first, *rest)))})"

    def exists(self, bind: Bind) -> str:
        """There is an address with a domain."""
        return self.like(("", ""), bind)

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """Not offered."""
        raise Mismatch("Ranges are not available on this field")

    def order(self) -> None:
        """Not offered."""


@dataclass(frozen=True, slots=True)
class JsonField(Field):
    """A value inside a JSON document, compared as what it is there: text, number, or truth value.

    An array on the way, or at the end, stands for its elements. Null, empty arrays and empty objects are no values.
    """

    path: tuple[str, ...]
    document: str = "document"
    wildcards: bool = True
    ranges: bool = True

    def equals(self, text: str, bind: Bind) -> str:
        """A text, number or truth value that reads like this."""
        param = bind(text)
        conditions = [f"v.kind = 'string' and v.text = {param}"]
        value = values.number(text)
        if value is not None:
            conditions.append(f"v.number = {bind(value)}")
        if values.boolean(text) is not None:
            conditions.append(f"v.kind = 'boolean' and v.text = {param}")
        return self._some(" or ".join(conditions), bind)

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """A text of this form."""
        if not self.wildcards:
            raise Mismatch(f"Wildcards are not available on {self.path[0]} fields")
        return self._some(f"v.kind = 'string' and wildcard(v.text, {bind(Wildcard(literals))})", bind)

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """A text between these in the order of bytes, or a number between these if they are numbers."""
        if not self.ranges:
            raise Mismatch(f"Ranges are not available on {self.path[0]} fields")
        if low.text is None and high.text is None:
            return self.exists(bind)
        texts = _between("v.text", (low.text, low.inclusive), (high.text, high.inclusive), bind)
        conditions = [f"v.kind = 'string' and {texts}"]
        least = None if low.text is None else values.number(low.text)
        most = None if high.text is None else values.number(high.text)
        if (least is None) == (low.text is None) and (most is None) == (high.text is None):
            conditions.append(_between("v.number", (least, low.inclusive), (most, high.inclusive), bind))
        return self._some(" or ".join(conditions), bind)

    def exists(self, bind: Bind) -> str:
        """Some value."""
        return self._some(EVERYTHING, bind)

    def below(self, path: Sequence[str]) -> "JsonField | None":
        """The field of a member, None where its name cannot be part of a path."""
        if "" in path:
            return None
        try:
            JsonWalk(path)
        except UnsupportedPath:
            return None
        return replace(self, path=(*self.path, *path))

    def order(self) -> str:
        """What to sort by: the text at the path."""
        literal = ".".join(self.path).replace("'", "''")
        return f"json_text({self.document}, '{literal}')"

    def _some(self, condition: str, bind: Bind) -> str:
        walk = bind(JsonWalk(self.path))
        return f"exists (select 1 from json_values({self.document}, {walk}) as v where {condition})"  # noqa: S608


@dataclass(frozen=True, slots=True)
class RelatedField(Field):
    """A field of rows in another table.

    `rows` is the subquery that finds them, up to and with its last condition, to which the field's own is joined:
    `select 1 from members m where m.tenant_id = u.tenant_id and m.user_id = u.id`.
    """

    rows: str
    inner: Field

    def equals(self, text: str, bind: Bind) -> str:
        """Some row has the value."""
        return self._some(self.inner.equals(text, bind))

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """Some row has a value of this form."""
        return self._some(self.inner.like(literals, bind))

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """Some row has a value in the range."""
        return self._some(self.inner.between(low, high, bind))

    def exists(self, bind: Bind) -> str:
        """Some row has a value."""
        return self._some(self.inner.exists(bind))

    def _some(self, condition: str) -> str:
        return f"exists ({self.rows} and ({condition}))"


@dataclass(frozen=True, slots=True)
class FieldSet:
    """The searchable fields of a resource."""

    fields: Mapping[str, Field]
    prefixes: Mapping[str, Field] = field(default_factory=dict)
    """Fields whose members are fields too, by at most three names: `user_metadata` makes `user_metadata.a.b` known."""
    bare: tuple[str, ...] = ()
    """The fields in which a term without a field is looked for."""
    sortable: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in (*self.bare, *self.sortable):
            if name not in self.fields:
                raise ValueError(f"{name} is not among the fields")
        for name in self.prefixes:
            if name.count(".") >= _PREFIX_STEPS:
                raise ValueError(f"{name} is too deep for a prefix")

    def find(self, path: tuple[str, ...]) -> Field | None:
        """The field of this name, cut at its dots, or None."""
        found = self.fields.get(".".join(path))
        if found is not None:
            return found
        for length in range(min(len(path), _PREFIX_STEPS), 0, -1):
            prefix = self.prefixes.get(".".join(path[:length]))
            if prefix is not None:
                return prefix if length == len(path) else prefix.below(path[length:])
        return None


_PREFIX_STEPS = 3


End = tuple[Any, bool]  # a value or None, and whether it belongs to the range


def _between(sql: str, low: End, high: End, bind: Bind) -> str:
    conditions = []
    if low[0] is not None:
        conditions.append(f"{sql} {'>=' if low[1] else '>'} {bind(low[0])}")
    if high[0] is not None:
        conditions.append(f"{sql} {'<=' if high[1] else '<'} {bind(high[0])}")
    return _all(conditions) or f"{sql} is not null"


def _all(conditions: Sequence[str]) -> str:
    return f"({' and '.join(conditions)})" if conditions else ""


def _whole(text: str, rounded: Callable[[float], int]) -> int:
    exact = values.integer(text)
    return exact if exact is not None else rounded(values.number(text) or 0.0)
