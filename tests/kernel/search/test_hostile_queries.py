"""What a stranger writes into `q` costs little, reaches nothing that is not listed, and never fails as a bug does."""

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freehold.kernel.search import FieldSet, InvalidQuery, JsonField, TextField, translate
from freehold.kernel.search.lucene import MAX_DEPTH, MAX_LENGTH, MAX_TOKENS
from freehold.kernel.search.translate import MAX_CONDITIONS
from freehold.kernel.store import Store, create_schema
from tests.kernel.search.people import FIELDS, MEMBERS, PEOPLE, TENANT, fill, ids_of

INJECTIONS = [
    "'; drop table people; --",
    "x' or '1'='1",
    "1 = 1",
    ":tenant_id",
    "$1",
    "%",
    "_",
    "json_values(document, :q0)",
    "\\'",
    "/* */",
    "{without_rowid}",
]
UNLISTED = [
    "tenant_id", "document", "rowid", "people.tenant_id", "members.team", "secret", "1", "q0", "user_metadata)--",
    "app_metadata.a'", 'app_metadata.a"', "app_metadata.$", "app_metadata.a[0]", "app_metadata.*",
]  # fmt: skip


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [PEOPLE, MEMBERS])
    await fill(empty_store, [{"id": "one", "name": "ada", "created_at": "2019-01-01T00:00:00.000Z"}])
    return empty_store


@pytest.mark.parametrize(
    "query",
    [
        "(" * 10_000 + "a" + ")" * 10_000,
        "(" * 4000 + ")" * 4000,
        "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1),
        "NOT " * (MAX_DEPTH + 1) + "a",
        "!" * 900 + "a",
        "-" * 900 + "a",
        "+" * 900 + "a",
        "name:" * 400 + "a",
        "name:(" * 30 + "NOT " * 30 + "a" + ")" * 30,
        "a " * (MAX_TOKENS + 1),
        "a" * (MAX_LENGTH + 1),
        "a" * 1_000_000,
        f"user_metadata.a:({' '.join(['1'] * (MAX_CONDITIONS + 1))})",
        "a\0b",
        "\ud800",
        '"',
        "\\",
        "/",
        "~",
        "^",
        "a~99999999999999999999.5",
        "name:[" + "9" * 5000 + " TO " + "9" * 3000,
    ],
)
def test_what_goes_beyond_the_bounds_is_refused(query: str) -> None:
    with pytest.raises(InvalidQuery):
        translate(query, FIELDS)


async def test_what_is_just_within_the_bounds_is_answered(store: Store) -> None:
    assert await ids_of(store, "(" * (MAX_DEPTH - 1) + "name:ada" + ")" * (MAX_DEPTH - 1)) == ["one"]
    assert await ids_of(store, "NOT " * (MAX_DEPTH - 2) + "name:ada") == ["one"]
    assert await ids_of(store, f"name:({' OR '.join(['x'] * (MAX_CONDITIONS - 1))} OR ada)") == ["one"]
    assert await ids_of(store, f"user_metadata.a.b:({' OR '.join(['1'] * MAX_CONDITIONS)})") == []
    assert await ids_of(store, f"NOT app_metadata.a:({' AND '.join(['*abc*'] * MAX_CONDITIONS)})") == ["one"]
    assert await ids_of(store, "name:" + "*abc" * 2000) == []
    assert await ids_of(store, "user_metadata" + ".a" * 1000 + ":1") == []


async def test_numbers_that_no_column_holds_are_compared_all_the_same(store: Store) -> None:
    for number in ("9" * 30, "-" + "9" * 30, "1e308", "-1e308", "9223372036854775808"):
        assert await ids_of(store, f'logins:"{number}" OR rating:"{number}" OR app_metadata.a:"{number}"') == []
        assert await ids_of(store, f'logins:["{number}" TO *] OR logins:{{* TO "{number}"}}') == []


async def test_a_value_is_only_ever_a_value(store: Store) -> None:
    for text in INJECTIONS:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        await fill(store, [{"id": "one", "created_at": "2019-01-01T00:00:00.000Z", "app_metadata": {"a": text}}])

        assert await ids_of(store, f'app_metadata.a:"{quoted}"') == ["one"]
        assert await ids_of(store, f'name:"{quoted}"') == []


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_value_is_never_part_of_the_sql(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')

    with_text = translate(f'app_metadata.a:"{quoted}" OR name:"{quoted}"', FIELDS)

    assert with_text.sql == translate('app_metadata.a:"x" OR name:"x"', FIELDS).sql


async def test_a_name_that_is_not_listed_reaches_nothing(store: Store) -> None:
    for name in UNLISTED:
        escaped = "".join(char if char.isalnum() or char == "." else "\\" + char for char in name)

        assert await ids_of(store, f"{escaped}:{TENANT} OR {escaped}:* OR _exists_:{escaped}") == [], name


def test_a_field_set_names_its_own_fields_only() -> None:
    with pytest.raises(ValueError, match="nme"):
        FieldSet({"name": TextField("name")}, bare=("nme",))
    with pytest.raises(ValueError, match="email"):
        FieldSet({"name": TextField("name")}, sortable=frozenset({"email"}))
    with pytest.raises(ValueError, match="too deep"):
        FieldSet({}, prefixes={"a.b.c.d": JsonField(("a", "b", "c", "d"))})


def test_the_longest_prefix_knows_a_name() -> None:
    outer, inner = JsonField(("outer",)), JsonField(("inner",))
    fields = FieldSet({}, prefixes={"identities": outer, "identities.profileData": inner})

    assert fields.find(("identities", "profileData", "a")) == JsonField(("inner", "a"))
    assert fields.find(("identities", "profileData")) == inner
    assert fields.find(("identities", "provider")) == JsonField(("outer", "provider"))
    assert fields.find(("profileData", "a")) is None


def test_the_parameters_of_two_conditions_can_be_kept_apart() -> None:
    fields = FieldSet({"name": TextField("name"), "plan": JsonField(("plan",))})

    first, second = translate("name:a", fields, prefix="a"), translate("plan:b", fields, prefix="b")

    assert first.params.keys().isdisjoint(second.params)


SPECIAL = st.sampled_from([*'+-!(){}[]^"~*?:\\/<>=&| .', "AND", "OR", "NOT", "TO", "_exists_", "name", "ada", "1"])


@given(st.one_of(st.text(max_size=60), st.lists(SPECIAL, max_size=40).map("".join), st.lists(SPECIAL).map(" ".join)))
@example("a OR NOT")
@example("[a TO b]^")
@example("name:>")
@example("!")
@example("&&")
@example("_exists_:")
@example("*:(*)")
@example("\n\t\v")
def test_every_text_is_a_query_or_refused_as_one(query: str) -> None:
    found = None
    with contextlib.suppress(InvalidQuery):
        found = translate(query, FIELDS)

    assert found is None or set(re.findall(r":(q\d+)", found.sql)) <= found.params.keys()
