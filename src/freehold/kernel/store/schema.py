"""Tables as values: what a package declares, what the migrations must add up to.

Statements made here are portable text; a dialect's `ddl` turns them into one database's own. Text columns compare and
sort by bytes on both databases.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

ColumnType = Literal["text", "bigint", "real", "bytea"]

_SPELLING: dict[ColumnType, str] = {"text": "text", "bigint": "bigint", "real": "double precision", "bytea": "bytea"}


class Column(msgspec.Struct, frozen=True):
    """A column. A default is needed only to add a not-null column to a table that has rows."""

    name: str
    type: ColumnType
    null: bool = False
    default: str | int | None = None


class Index(msgspec.Struct, frozen=True):
    """An index over columns or expressions such as `json_text(document, 'software_id')`, optionally partial."""

    columns: tuple[str, ...]
    unique: bool = False
    where: str | None = None
    name: str | None = None


class Table(msgspec.Struct, frozen=True):
    """A table with its primary key. `without_rowid` suits rows well below a kilobyte on SQLite."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = msgspec.field(default=())
    without_rowid: bool = True

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"Table {self.name} declares a column twice")
        for column in self.key:
            if column not in names:
                raise ValueError(f"Table {self.name} has no column {column} for its key")


def index_name(table: Table, index: Index) -> str:
    """The given name, or one made of the table and its columns, within PostgreSQL's 63 bytes."""
    if index.name is not None:
        return index.name
    words = [table.name]
    for column in index.columns:
        if column == "tenant_id" and len(index.columns) > 1:
            continue
        words.append(_word(column))
    return "_".join(words)[:63]


def ddl(table: Table) -> str:
    """The statements that create the table and its indexes."""
    return "\n".join([create_table(table), *(create_index(table, index) for index in table.indexes)])


def create_table(table: Table) -> str:
    """The statement that creates the table without its indexes."""
    lines = [f"    {column_ddl(column)}," for column in table.columns]
    lines.append(f"    primary key ({', '.join(table.key)})")
    word = "{without_rowid}" if table.without_rowid else "{with_rowid}"
    return f"create table {table.name} (\n" + "\n".join(lines) + f"\n) {word};"


def column_ddl(column: Column) -> str:
    """A column as it stands in `create table` and `alter table add column`."""
    text = f"{column.name} {_SPELLING[column.type]}"
    if not column.null:
        text += " not null"
    if column.default is not None:
        text += f" default {literal(column.default)}"
    return text


def create_index(table: Table, index: Index) -> str:
    """The statement that creates one index."""
    unique = "unique " if index.unique else ""
    where = f" where {index.where}" if index.where else ""
    return f"create {unique}index {index_name(table, index)} on {table.name} ({', '.join(index.columns)}){where};"


def declared_schema_sql(tables: Iterable[Table]) -> str:
    """The statements that create all the tables, in the given order."""
    return "\n\n".join(ddl(table) for table in tables) + "\n"


def literal(value: str | int) -> str:
    """A value as SQL text."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _word(column: str) -> str:
    """A column or expression as a part of a name: `json_text(document, 'a.b')` becomes `a_b`."""
    inner = column.rpartition(",")[2] if "(" in column else column
    return "_".join("".join(c if c.isalnum() else " " for c in inner).split())
