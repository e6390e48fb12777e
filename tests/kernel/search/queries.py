"""Queries as trees that can write themselves down in Lucene's syntax and say, in plain Python, what they match.

The second half is the specification the translation to SQL is held to: no SQL, no parser, no cleverness.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from freehold.kernel.clock import parse_iso
from tests.kernel.search.people import Person

FOLDED = {"email", "email.domain", "name"}
NUMERIC = {"logins", "rating"}
COLUMNS = {"id", "email", "email.domain", "name", "logins", "rating", "blocked", "created_at", "team"}
BARE = ("name", "email", "logins", "nickname")


@dataclass(frozen=True)
class Equals:
    field: str | None
    text: str
    quoted: bool

    def __str__(self) -> str:
        return named(self.field, written(self.text, quoted=self.quoted))

    def matches(self, person: Person) -> bool:
        fields = BARE if self.field is None else (self.field,)
        return any(equal(field, value, self.text) for field in fields for value in values(person, field))


@dataclass(frozen=True)
class Like:
    field: str | None
    literals: tuple[str, ...]

    def __str__(self) -> str:
        return named(self.field, "*".join(written(literal, quoted=False) for literal in self.literals))

    def matches(self, person: Person) -> bool:
        if not any(self.literals):
            return self.field is None or Exists(self.field).matches(person)
        fields = [field for field in BARE if field != "logins"] if self.field is None else [self.field]
        return any(
            isinstance(value, str) and has_form(value, [folded(field, literal) for literal in self.literals])
            for field in fields
            for value in values(person, field)
        )


@dataclass(frozen=True)
class Between:
    field: str
    low: str | None
    high: str | None
    low_inclusive: bool
    high_inclusive: bool

    def __str__(self) -> str:
        ends = ["*" if end is None else written(end, quoted=True) for end in (self.low, self.high)]
        return f"{self.field}:{'{['[self.low_inclusive]}{ends[0]} TO {ends[1]}{'}]'[self.high_inclusive]}"

    def matches(self, person: Person) -> bool:
        if self.low is None and self.high is None:
            return Exists(self.field).matches(person)
        return any(self._holds(value) for value in values(person, self.field))

    def _holds(self, value: Any) -> bool:
        if isinstance(value, bool | dict):
            return False
        low, high = self.low, self.high
        if isinstance(value, str):
            pair = key(value), None if low is None else key(folded(self.field, low))
            end = None if high is None else key(folded(self.field, high))
            return self._within(*pair, end)
        numbers = [None if end is None else number(end) for end in (low, high)]
        if any(found is None and end is not None for found, end in zip(numbers, (low, high), strict=True)):
            return False
        return self._within(float(value), *numbers)

    def _within(self, value: Any, low: Any, high: Any) -> bool:
        above = low is None or value > low or (self.low_inclusive and value == low)
        below = high is None or value < high or (self.high_inclusive and value == high)
        return above and below


@dataclass(frozen=True)
class During:
    """A range over dates; each bound is a stretch of time, given as text and as its start and end in ms."""

    low: tuple[str, int, int] | None
    high: tuple[str, int, int] | None
    low_inclusive: bool
    high_inclusive: bool

    def __str__(self) -> str:
        ends = ["*" if end is None else end[0] for end in (self.low, self.high)]
        return f"created_at:{'{['[self.low_inclusive]}{ends[0]} TO {ends[1]}{'}]'[self.high_inclusive]}"

    def matches(self, person: Person) -> bool:
        (at,) = values(person, "created_at")
        above = self.low is None or at >= (self.low[1] if self.low_inclusive else self.low[2])
        below = self.high is None or at < (self.high[2] if self.high_inclusive else self.high[1])
        return above and below


@dataclass(frozen=True)
class Exists:
    field: str
    star: bool = False

    def __str__(self) -> str:
        return f"{self.field}:*" if self.star else f"_exists_:{self.field}"

    def matches(self, person: Person) -> bool:
        return any(True for _ in values(person, self.field))


@dataclass(frozen=True)
class Not:
    query: "Query"
    word: str

    def __str__(self) -> str:
        return f"{self.word}({self.query})"

    def matches(self, person: Person) -> bool:
        return not self.query.matches(person)


@dataclass(frozen=True)
class Joined:
    word: str
    queries: "tuple[Query, ...]"

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({query})" for query in self.queries)

    def matches(self, person: Person) -> bool:
        choose: Callable[[Iterator[bool]], bool] = all if self.word in {"AND", "&&"} else any
        return choose(query.matches(person) for query in self.queries)


@dataclass(frozen=True)
class Sequenced:
    """Terms side by side, each with its sign."""

    signed: "tuple[tuple[str, Query], ...]"

    def __str__(self) -> str:
        return " ".join(f"{sign}({query})" for sign, query in self.signed)

    def matches(self, person: Person) -> bool:
        required = [query.matches(person) for sign, query in self.signed if sign == "+"]
        refused = [query.matches(person) for sign, query in self.signed if sign in {"-", "!", "NOT "}]
        wanted = [query.matches(person) for sign, query in self.signed if sign == ""]
        return all(required) and not any(refused) and (bool(required) or not wanted or any(wanted))


@dataclass(frozen=True)
class Grouped:
    """`field:(a OR b)`."""

    field: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.field}:({' OR '.join(written(text, quoted=True) for text in self.texts)})"

    def matches(self, person: Person) -> bool:
        return any(Equals(self.field, text, quoted=True).matches(person) for text in self.texts)


Query = Equals | Like | Between | During | Exists | Not | Joined | Sequenced | Grouped


# What a person's field holds, and how it compares.


def values(person: Person, field: str) -> Iterator[Any]:
    if field not in COLUMNS:
        yield from at(person, field.split("."))
    elif field == "email.domain":
        yield from (value.rpartition("@")[2] for value in values(person, "email") if "@" in value)
    elif field == "team":
        yield from person.get("team", ())
    elif field == "created_at":
        yield int(parse_iso(person["created_at"]).timestamp() * 1000)
    elif person.get(field) is not None:
        yield folded(field, person[field])


def at(document: Any, path: Sequence[str]) -> Iterator[Any]:
    """The values at a path. An array stands for its elements, but an array in an array does not."""
    found = [document]
    for name in (step.replace("\\", "") for step in path):
        found = [item[name] for item in spread(found) if isinstance(item, dict) and name in item]
    yield from (item for item in spread(found) if item is not None and item != {} and not isinstance(item, list))


def spread(items: Sequence[Any]) -> list[Any]:
    return [element for item in items for element in (item if isinstance(item, list) else [item])]


def equal(field: str, value: Any, text: str) -> bool:
    if field == "created_at":
        raise AssertionError("dates are compared as ranges")
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int | float):
        return number(text) is not None and number(text) == float(value)
    return isinstance(value, str) and value == folded(field, text)


def has_form(value: str, literals: Sequence[str]) -> bool:
    """Whether the literals come in this order, the first at the start and the last at the end."""
    first, *middle, last = literals
    if not value.startswith(first):
        return False
    rest = value[len(first) :]
    for literal in middle:
        _before, found, rest = rest.partition(literal)
        if not found:
            return False
    return rest.endswith(last)


def folded(field: str, value: Any) -> Any:
    return value.lower() if field in FOLDED and isinstance(value, str) else value


def key(text: str) -> bytes:
    return text.encode()


def number(text: str) -> float | None:
    """The number a text writes; a sign is part of it only when it is negative."""
    return float(text) if text[-1:].isdigit() and text.lstrip("-")[:1].isdigit() and len(text.split()) == 1 else None


# How a value is written down.


def named(field: str | None, text: str) -> str:
    return text if field is None else f"{field}:{text}"


def written(text: str, *, quoted: bool) -> str:
    if quoted:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if text in {"AND", "OR", "NOT", "TO"}:
        return "\\" + text
    return "".join(char if char.isalnum() else "\\" + char for char in text)


# Random people, and random queries made of what these people hold, so that the two meet.

WORDS = st.sampled_from(
    ["jane", "jane smith", "JANE", "Élan", "o'brien'); drop table people; --", 'say "hi"', "back\\slash", "a*b",
     "100%", "under_score", "x:y", "[q]", "(p)", "AND", "TO", "true", "null", "13", "13.0", "-5", "?", "ключ",
     "😀", "&&", "||", "!x", "-", "+1", "/re/", "~", "^2", "abcabc"]
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -5, 13, 100, 1.5, 13.5, 9007199254740993, 2**62])
SCALARS = st.one_of(WORDS, NUMBERS, st.booleans(), st.none())
NAMES = st.sampled_from(["a", "b", "x y"])
MEMBERS = st.recursive(
    st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), min_size=1, max_size=3),
    lambda inner: st.dictionaries(
        NAMES, st.one_of(SCALARS, inner, st.lists(st.one_of(inner, SCALARS, st.lists(inner, max_size=1)), max_size=3))
    ),
    max_leaves=4,
)
DATES = ["2018-12-31T23:59:59.999Z", "2019-01-01T00:00:00.000Z", "2019-01-01T12:23:45.500Z", "2019-02-28T01:00:00.000Z"]
EMAILS = ["jane@example.com", "JOHN@Example.COM", "x@sub.example.com", "nobody"]
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "created_at": st.sampled_from(DATES),
            "user_metadata": MEMBERS,
            "app_metadata": MEMBERS,
            "identities": st.lists(st.dictionaries(NAMES, SCALARS, min_size=1), max_size=2),
            "team": st.lists(WORDS, max_size=2, unique=True),
        },
        optional={
            "email": st.sampled_from(EMAILS),
            "name": WORDS,
            "nickname": st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
            "logins": st.sampled_from([0, 1, 13, 100, 2**62]),
            "rating": st.sampled_from([0.0, 1.5, 13.0, -5.0]),
            "blocked": st.booleans(),
        },
    ),
    min_size=3,
    max_size=8,
).map(lambda people: [{**person, "id": f"person {number}"} for number, person in enumerate(people)])

NUMERALS = st.sampled_from(["0", "1", "-5", "13", "13.0", "1.5", "100", "1e2", "4611686018427387904", "9" * 20])
STRETCHES = st.sampled_from(
    [
        ("2019", 1546300800000, 1577836800000),
        ("2018-12", 1543622400000, 1546300800000),
        ("2019-01-01", 1546300800000, 1546387200000),
        ("2019-01-01T12", 1546344000000, 1546347600000),
        ("2019-01-01T12:23:45", 1546345425000, 1546345426000),
        ("2018-12-31T23:59:59.999Z", 1546300799999, 1546300800000),
        ('"2019-01-01T01:00:00+01:00"', 1546300800000, 1546300801000),
    ]
)
UNKNOWN = st.sampled_from(
    ["absent", "tenant_id", "document", "people\\.id", "user_metadata.absent", "user_metadata.a."]
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Person], list[Query]]:
    """People, and queries about them."""
    people: list[Person] = list(draw(PEOPLE))
    pairs = sorted({found for person in people for found in held(person)})
    return people, [*draw(st.lists(leaves(pairs), max_size=8)), draw(queries(pairs))]


def queries(pairs: Sequence[tuple[str, str]]) -> st.SearchStrategy[Query]:
    """Queries over pairs of a field and a text that somebody holds there."""
    return st.recursive(
        leaves(pairs),
        lambda inner: st.one_of(
            st.builds(Not, inner, st.sampled_from(["NOT ", "!", "-"])),
            st.builds(
                Joined, st.sampled_from(["AND", "OR", "&&", "||"]), st.lists(inner, min_size=2, max_size=3).map(tuple)
            ),
            st.builds(
                Sequenced,
                st.lists(st.tuples(st.sampled_from(["", "+", "-", "!", "NOT "]), inner), min_size=2, max_size=4).map(
                    tuple
                ),
            ),
        ),
        max_leaves=4,
    )


def leaves(pairs: Sequence[tuple[str, str]]) -> st.SearchStrategy[Query]:
    pair = st.sampled_from(pairs)
    field = pair.map(lambda found: found[0])
    text = st.one_of(pair.map(lambda found: found[1]), WORDS)
    texts = {name: st.sampled_from([text for field, text in pairs if field == name]) for name, _ in pairs}
    textual = pair.filter(lambda found: found[0] not in NUMERIC | {"blocked"})
    patterned = textual.filter(lambda found: not found[0].startswith("user_metadata"))
    return st.one_of(
        st.builds(lambda found, quoted: Equals(found[0], found[1], quoted), pair, st.booleans()),
        st.builds(Equals, textual.map(lambda found: found[0]), text, st.booleans()),
        st.builds(Equals, st.sampled_from(sorted(NUMERIC)), NUMERALS, st.just(True)),
        st.builds(Equals, UNKNOWN, WORDS, st.just(True)),
        st.builds(Equals, st.none(), st.one_of(text, NUMERALS), st.just(True)),
        st.builds(lambda found, cut: Like(found[0], form(found[1], cut)), patterned, st.tuples(CUTS, CUTS)),
        st.builds(lambda found, cut: Like(None, form(found[1], cut)), patterned, st.tuples(CUTS, CUTS)),
        patterned.flatmap(
            lambda found: st.builds(
                Between, st.just(found[0]), st.none() | texts[found[0]] | NUMERALS,
                st.none() | texts[found[0]] | NUMERALS, st.booleans(), st.booleans(),
            )
        ).filter(lambda query: query.field != "email.domain"),
        st.builds(
            Between, st.sampled_from(sorted(NUMERIC)), st.none() | NUMERALS, st.none() | NUMERALS, st.booleans(),
            st.booleans(),
        ),
        st.builds(During, st.none() | STRETCHES, st.none() | STRETCHES, st.booleans(), st.booleans()),
        st.builds(Exists, st.one_of(field, field.map(lambda name: name.rpartition(".")[0] or name)), st.booleans()),
        st.builds(Grouped, textual.map(lambda found: found[0]), st.lists(text, min_size=1, max_size=3).map(tuple)),
    )  # fmt: skip


CUTS = st.integers(0, 6)


def form(text: str, cut: tuple[int, int]) -> tuple[str, ...]:
    """A pattern that may well match the text: some of its start, perhaps something of the middle or the end."""
    start, end = sorted(cut)
    behind = text[end:] if len(text[end:]) >= 3 else ""
    return (text[:start], behind) if end % 2 else (text[:start], *([behind] if behind else []), "")


def held(person: Person) -> Iterator[tuple[str, str]]:
    """Fields and what the person holds there, as a query would write it."""
    for name in ("id", "email", "email.domain", "name", "logins", "rating", "blocked", "team"):
        yield from ((name, as_text(value)) for value in values(person, name))
    for name in ("nickname", "user_metadata", "app_metadata", "identities"):
        if name in person:
            yield from inside(name, person[name])


def inside(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from inside(f"{path}.{written(name, quoted=False)}", member)
    elif isinstance(value, list):
        for element in value:
            yield from inside(path, element)
    elif value is not None:
        yield path, as_text(value)


def as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
