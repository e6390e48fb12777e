"""The dialect table: the few words that SQLite and PostgreSQL spell differently.

| word | means |
| --- | --- |
| `json_text(column, :path)` | the text at a path: strings as they are, others as JSON writes them |
| `json_number(column, :path)` | the number at a path, null when it is no number |
| `json_has(column, :path, :value)` | the text at a path, or one element of the array there, equals the value |
| `json_values(column, :walk)` | in a from clause: the values a `JsonWalk` leads to, see below |
| `wildcard(value, :pattern)` | the text has the form of a `Wildcard`; case counts |
| `ilike(value, :pattern)` | LIKE without regard to ASCII case; backslash escapes `%` and `_` |
| `one_of(column, :values)` | the column is in a list given as `Values` |
| `joined(column)` | of all rows, the texts with commas between them, in the order in which the rows come |
| `skip_locked()` | at the end of a subquery: rows another transaction is claiming are passed over |

A path is a `JsonPath` parameter or a literal with dots, `json_text(document, 'a.b')`; only a literal can use an index.

`json_values` has the columns `kind` (string, number, boolean, object), `text` (of strings and booleans) and `number`.
Null, arrays and empty objects are no values; a path through an array leads to several.

Parameters need no casts. For PostgreSQL each takes the type of the Python value it has in this call, and None is
written as `null`, so that `:x is null or column = :x` works in any order; a statement is compiled once for each
combination of types it is called with. Where a bare null has no type to take, as in `insert ... select :x`, write
`cast(:x as bigint)`, which both databases read. Functions that want a 32-bit integer need `cast(:n as int)`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from freehold.kernel.store.api import JsonPath, JsonWalk, Transaction, Unstorable, Values, Wildcard
from freehold.kernel.store.sqlite_statistics import assume_large_tables

_TOKEN = re.compile(
    r"""
    (?P<literal>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<comment>--[^\n]*|/\*.*?\*/)
  | (?P<cast>::)
  | :(?P<param>[A-Za-z_]\w*)
  | (?P<word>\{?[A-Za-z_]\w*\}?)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

Token = tuple[str, str]  # kind and text


class SqliteDialect:
    """SQLite 3.37 and later."""

    name = "sqlite"
    schema_lock = "select 1"  # the one writer is lock enough

    def __init__(self) -> None:
        self._compiled: dict[str, str] = {}

    def compile(self, sql: str) -> str:
        """The statement in SQLite's words; parameters stay named."""
        try:
            return self._compiled[sql]
        except KeyError:
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            compiled = self._compiled[sql] = _rewrite(sql, _SQLITE_WORDS, ":{}".format)
            return compiled

    def ddl(self, sql: str) -> str:
        """A schema statement: strict tables, SQLite's names of the types."""
        return _rewrite_types(_rewrite(sql, _SQLITE_WORDS, ":{}".format), _SQLITE_TYPES)

    async def schema_changed(self, tx: Transaction) -> None:
        """Tell the planner of new indexes."""
        await assume_large_tables(tx)


class PostgresqlDialect:
    """PostgreSQL 13 and later."""

    name = "postgresql"
    schema_lock = "select pg_advisory_xact_lock(7205759403792793)"

    def __init__(self) -> None:
        self._compiled: dict[tuple[Any, ...], tuple[str, tuple[str, ...]]] = {}

    def compile(self, sql: str, params: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The statement with `$1`, `$2` ..., and its arguments."""
        key = (sql, *params, *map(type, params.values()))
        found = self._compiled.get(key)
        if found is None:
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            found = self._compiled[key] = self._compile(sql, params)
        text, names = found
        return text, [_postgresql_value(params[name]) for name in names]

    def compile_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[list[Any]]]:
        """As `compile`, for many sets of parameters; a column's type is that of its first value that is not None."""
        samples = {name: next((row[name] for row in rows if row[name] is not None), None) for name in rows[0]}
        text, names = self._compile(sql, samples)
        return text, [[_postgresql_value(row[name]) for name in names] for row in rows]

    def ddl(self, sql: str) -> str:
        """A schema statement; text sorts by bytes, as SQLite's does."""
        return _rewrite_types(_rewrite(sql, _POSTGRESQL_WORDS, ":{}".format), _POSTGRESQL_TYPES)

    async def schema_changed(self, tx: Transaction) -> None:
        """Nothing; PostgreSQL keeps its own statistics."""

    def _compile(self, sql: str, params: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
        names: list[str] = []

        def place(name: str) -> str:
            value = params[name]
            if value is None:
                return "null"
            if name not in names:
                names.append(name)
            return f"${names.index(name) + 1}::{_postgresql_type(value)}"

        text = _rewrite(sql, _POSTGRESQL_WORDS, place)
        return text, tuple(names)


_MAX_COMPILED = 4096


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one, without their semicolons and without comments."""
    parts: list[str] = []
    for kind, text in _tokens(script):
        if kind == "comment":
            continue
        if text == ";":
            if statement := "".join(parts).strip():
                yield statement
            parts = []
        else:
            parts.append(text)
    if statement := "".join(parts).strip():
        yield statement


def escape_like(text: str) -> str:
    """Text that stands for itself in the pattern of `ilike`."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _tokens(sql: str) -> list[Token]:
    found = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        found.append((kind, match[kind] if kind == "param" else match[0]))
    return found


def _rewrite(sql: str, words: Mapping[str, Callable[..., str]], place: Callable[[str], str]) -> str:
    return _rewrite_tokens(_tokens(sql), words, place)


def _rewrite_tokens(tokens: list[Token], words: Mapping[str, Callable[..., str]], place: Callable[[str], str]) -> str:
    out: list[str] = []
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        position += 1
        if kind == "param":
            out.append(place(text))
        elif kind == "word" and text.startswith("{"):
            out.append(words[text]())
        elif kind == "word" and text in words and position < len(tokens) and tokens[position][1] == "(":
            arguments, position = _arguments(tokens, position + 1)
            out.append(words[text](*(_rewrite_tokens(argument, words, place).strip() for argument in arguments)))
        else:
            out.append(text)
    return "".join(out)


def _arguments(tokens: list[Token], position: int) -> tuple[list[list[Token]], int]:
    """The comma-separated arguments up to the closing parenthesis, and the position behind it."""
    arguments: list[list[Token]] = [[]]
    depth = 0
    while position < len(tokens):
        token = tokens[position]
        position += 1
        if token[1] == ")" and depth == 0:
            empty = arguments == [[]]
            return ([] if empty else arguments), position
        if token[1] == "," and depth == 0:
            arguments.append([])
            continue
        if token[0] == "other":
            depth += {"(": 1, ")": -1}.get(token[1], 0)
        arguments[-1].append(token)
    raise ValueError("A parenthesis is not closed")


_SQLITE_TYPES = {"bigint": "int", "double precision": "real", "bytea": "blob"}
_POSTGRESQL_TYPES = {"text": 'text collate "C"'}
# A type stands behind a column's name; a column may itself be named like a type.
_TYPE_WORD = re.compile(r"(?<=[\w\"])(?<!column)(\s+)(bigint|double precision|bytea|text)\b", re.IGNORECASE)


def _rewrite_types(sql: str, types: Mapping[str, str]) -> str:
    if not re.match(r"\s*(create\s+table|alter\s+table)\b", sql, re.IGNORECASE):
        return sql
    return "".join(
        text if quoted else _TYPE_WORD.sub(lambda m: m[1] + types.get(m[2].lower(), m[2]), text)
        for quoted, text in _split_quoted(sql)
    )


def _split_quoted(sql: str) -> Iterator[tuple[bool, str]]:
    position = 0
    for match in re.finditer(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", sql):
        yield False, sql[position : match.start()]
        yield True, match[0]
        position = match.end()
    yield False, sql[position:]


@lru_cache(maxsize=512)
def _literal_path(argument: str) -> JsonPath | None:
    """The path of a literal such as 'a.b', None for a parameter."""
    return JsonPath(argument[1:-1].split(".")) if argument.startswith("'") else None


def _sqlite_path(argument: str) -> str:
    path = _literal_path(argument)
    return argument if path is None else "'" + path.__conform__(None).replace("'", "''") + "'"


def _sqlite_json_text(column: str, path: str) -> str:
    path = _sqlite_path(path)
    return (
        f"(case json_type({column}, {path}) when 'true' then 'true' when 'false' then 'false'"
        f" else cast(json_extract({column}, {path}) as text) end)"
    )


def _sqlite_json_number(column: str, path: str) -> str:
    path = _sqlite_path(path)
    return f"(case when json_type({column}, {path}) in ('integer', 'real') then json_extract({column}, {path}) end)"


def _sqlite_json_has(column: str, path: str, value: str) -> str:
    element = "case e.type when 'true' then 'true' when 'false' then 'false' else cast(e.value as text) end"
    return f"(exists (select 1 from json_each({column}, {_sqlite_path(path)}) as e where {element} = {value}))"  # noqa: S608


# Three arms: the value at the path when no array stands on the way, the elements of an array at its end, and a walk
# that starts at the first array on the way, if there is one. The first two answer for nearly every document in a third
# of the time of a walk from the root.
_SQLITE_JSON_VALUES = """(
select
    case found.type when 'text' then 'string' when 'integer' then 'number' when 'real' then 'number'
        when 'object' then 'object' else 'boolean' end as kind,
    case found.type when 'text' then found.value when 'true' then 'true' when 'false' then 'false' end as text,
    case when found.type in ('integer', 'real') then cast(found.value as real) end as number
from (
    select json_type({column}, {full}) as type, json_extract({column}, {full}) as value
    union all
    select e.type, e.value
    from json_each(case json_type({column}, {full}) when 'array' then {column} end, {full}) as e
    union all
    select walked.type, walked.value from (
        with recursive walk (depth, type, value) as (
            select p.key + 1, 'array', json_extract({column}, p.value)
            from json_each({walk}, '$[2]') as p where json_type({column}, p.value) = 'array'
            union all
            select
                w.depth + (w.type = 'object'),
                case w.type when 'object' then json_type(w.value, json_extract({walk}, '$[1][' || w.depth || ']'))
                    else case e.type when 'array' then 'nested' else e.type end end,
                case w.type when 'object' then json_extract(w.value, json_extract({walk}, '$[1][' || w.depth || ']'))
                    else e.value end
            from walk as w left join json_each(case w.type when 'array' then w.value end) as e
            where w.type = 'array' or (w.type = 'object' and w.depth < {steps})
        )
        select walk.type, walk.value from walk where walk.depth = {steps}
    ) as walked
) as found
where found.type not in ('array', 'nested', 'null') and not (found.type = 'object' and found.value = '{{}}')
)"""


def _sqlite_json_values(column: str, walk: str) -> str:
    full, steps = f"json_extract({walk}, '$[0]')", f"json_array_length({walk}, '$[1]')"
    return _SQLITE_JSON_VALUES.format(column=column, walk=walk, full=full, steps=steps)


def _postgresql_path(argument: str) -> str:
    path = _literal_path(argument)
    if path is None:
        return argument
    return "'{" + ",".join(path.for_postgresql()).replace("'", "''") + "}'::text[]"


def _postgresql_json_text(column: str, path: str) -> str:
    return f'(({column}::json #>> {_postgresql_path(path)}) collate "C")'


def _postgresql_json_number(column: str, path: str) -> str:
    path = _postgresql_path(path)
    return (
        f"(case when json_typeof({column}::json #> {path}) = 'number'"
        f" then ({column}::json #>> {path})::double precision end)"
    )


def _postgresql_json_has(column: str, path: str, value: str) -> str:
    at_path = f"({column}::json #> {_postgresql_path(path)})"
    array = f"case json_typeof({at_path}) when 'array' then {at_path} else json_build_array({at_path}) end"
    return f"(exists (select 1 from json_array_elements_text({array}) as e where e = {value}))"  # noqa: S608


# jsonb refuses an escaped NUL, and double precision what is out of its range; one such document must not fail a search
# over all of them, so the first has no values and the second no number.
_POSTGRESQL_JSON_VALUES = """(
select
    jsonb_typeof(found) as kind,
    case when jsonb_typeof(found) in ('string', 'boolean') then found #>> '{{}}' end collate "C" as text,
    case when jsonb_typeof(found) = 'number' then
        case when found = '0' or abs((found #>> '{{}}')::numeric) between 1e-300 and 1e300
            then (found #>> '{{}}')::double precision end
    end as number
from jsonb_path_query(case when strpos({column}, '\\u0000') = 0 then {column}::jsonb end, {walk}) as found
where jsonb_typeof(found) not in ('array', 'null') and found <> '{{}}'
)"""


def _postgresql_json_values(column: str, walk: str) -> str:
    return _POSTGRESQL_JSON_VALUES.format(column=column, walk=walk)


def _sqlite_one_of(column: str, values: str) -> str:
    # The first half says no more than the second, but SQLite needs it to use an index `where column is not null`.
    return f"({column} is not null and {column} in (select value from json_each({values})))"  # noqa: S608


_SQLITE_WORDS: dict[str, Callable[..., str]] = {
    "{without_rowid}": lambda: "strict, without rowid",
    "{with_rowid}": lambda: "strict",
    "json_text": _sqlite_json_text,
    "json_number": _sqlite_json_number,
    "json_has": _sqlite_json_has,
    "json_values": _sqlite_json_values,
    "wildcard": lambda value, pattern: f"({value} glob {pattern})",
    "ilike": lambda value, pattern: f"({value} like {pattern} escape '\\')",
    "one_of": _sqlite_one_of,
    "joined": lambda column: f"group_concat({column}, ',')",
    "skip_locked": lambda: "",
}

_POSTGRESQL_WORDS: dict[str, Callable[..., str]] = {
    "{without_rowid}": lambda: "",
    "{with_rowid}": lambda: "",
    "json_text": _postgresql_json_text,
    "json_number": _postgresql_json_number,
    "json_has": _postgresql_json_has,
    "json_values": _postgresql_json_values,
    "wildcard": lambda value, pattern: f"({value} like {pattern} escape '\\')",
    "ilike": lambda value, pattern: f'(lower(({value}) collate "C") like lower(({pattern}) collate "C") escape \'\\\')',
    "one_of": lambda column, values: f"({column} = any({values}))",
    "joined": lambda column: f"string_agg({column}, ',')",
    "skip_locked": lambda: "for update skip locked",
}


def _postgresql_type(value: Any) -> str:
    if isinstance(value, Values):
        return "bigint[]" if value.items and isinstance(value.items[0], int) else "text[]"
    for kind, name in _POSTGRESQL_PARAMETERS:
        if isinstance(value, kind):
            return name
    raise TypeError(f"{type(value).__name__} is not a parameter type")


_POSTGRESQL_PARAMETERS: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (int, "bigint"),
    (bytes, "bytea"),
    (float, "double precision"),
    (JsonPath, "text[]"),
    (JsonWalk, "jsonpath"),
    (Wildcard, "text"),
)


def _postgresql_value(value: Any) -> Any:
    if isinstance(value, JsonPath | JsonWalk | Wildcard):
        return value.for_postgresql()
    if isinstance(value, Values):
        return value.items
    if isinstance(value, bool):
        return int(value)
    return value


def check_text(params: Mapping[str, Any]) -> None:
    """Refuse NUL in text, which PostgreSQL cannot store, on SQLite as well. Raises Unstorable."""
    for value in params.values():
        if value.__class__ is str and "\0" in value:
            raise Unstorable("A text holds a NUL character")
