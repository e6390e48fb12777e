"""The dialect words of searches, `json_values` and `wildcard`, give the same answers on both databases."""

import json
from typing import Any

import pytest

from freehold.kernel.store import Column, JsonWalk, Store, Table, UnsupportedPath, Wildcard, create_schema

NOTES = Table("notes", (Column("id", "text"), Column("document", "text")), key=("id",))

DOCUMENTS = {
    "scalars": {"m": {"text": "gold", "number": 13, "real": 1.5, "truth": True}},
    "nothings": {"m": {"text": None, "number": [], "real": {}, "truth": [None, {}, []]}},
    "elements": {"m": {"text": ["gold", 7, False, {"deep": "x"}]}},
    "objects": {"m": [{"text": "silver"}, {"text": ["gold", "lead"]}, {"other": 1}]},
    "nested": {"m": {"text": [["gold"]]}, "n": [[{"text": "gold"}]]},
    "members": {"m": {"text": {"gold": "text"}}},
    "odd": {"m": {"a b.c": "dots", "ключ": "letters", "back\\slash": "slash", "": "empty"}},
}


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [NOTES])
    async with empty_store.transaction() as tx:
        for id_, document in DOCUMENTS.items():
            text = json.dumps(document, ensure_ascii=False)
            await tx.run("insert into notes (id, document) values (:id, :document)", id=id_, document=text)
    return empty_store


async def found(store: Store, path: tuple[str, ...], condition: str, **params: Any) -> list[str]:
    rows = await store.search(
        "select id from notes as n"
        f" where exists (select 1 from json_values(n.document, :walk) as v where {condition}) order by id",
        walk=JsonWalk(path),
        **params,
    )
    return [row[0] for row in rows]


async def test_texts_are_found_at_the_path_and_through_arrays(store: Store) -> None:
    where = "v.kind = 'string' and v.text = :wanted"

    assert await found(store, ("m", "text"), where, wanted="gold") == ["elements", "objects", "scalars"]
    assert await found(store, ("m", "text"), where, wanted="silver") == ["objects"]
    assert await found(store, ("m", "text", "deep"), where, wanted="x") == ["elements"]
    assert await found(store, ("m", "text", "gold"), where, wanted="text") == ["members"]


async def test_an_array_directly_in_an_array_is_not_looked_into(store: Store) -> None:
    assert "nested" not in await found(store, ("m", "text"), "v.text = 'gold'")
    assert await found(store, ("n", "text"), "v.text = 'gold'") == []


async def test_numbers_and_truth_values_have_their_columns(store: Store) -> None:
    assert await found(store, ("m", "number"), "v.kind = 'number' and v.number = :wanted", wanted=13.0) == ["scalars"]
    assert await found(store, ("m", "real"), "v.number between :low and :high", low=1.2, high=1.6) == ["scalars"]
    assert await found(store, ("m", "truth"), "v.kind = 'boolean' and v.text = 'true'") == ["scalars"]
    assert await found(store, ("m", "text"), "v.kind = 'boolean' and v.text = 'false'") == ["elements"]
    assert await found(store, ("m", "text"), "v.number = 7") == ["elements"]
    assert await found(store, ("m", "number"), "v.text is not null") == []


async def test_null_and_what_is_empty_are_no_values(store: Store) -> None:
    assert await found(store, ("m", "truth"), "1 = 1") == ["scalars"]
    assert await found(store, ("m", "text"), "1 = 1") == ["elements", "members", "objects", "scalars"]
    assert await found(store, ("m", "text"), "v.kind = 'object'") == ["elements", "members"]
    assert await found(store, ("absent", "text"), "1 = 1") == []


async def test_unusual_member_names_are_reached(store: Store) -> None:
    for name, value in (("a b.c", "dots"), ("ключ", "letters"), ("back\\slash", "slash")):
        assert await found(store, ("m", name), "v.text = :value", value=value) == ["odd"]


async def test_a_quotation_mark_in_a_member_name_is_refused() -> None:
    with pytest.raises(UnsupportedPath):
        JsonWalk(("m", 'a"b'))


async def test_one_document_that_a_database_cannot_read_spoils_no_search(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run('insert into notes (id, document) values (\'nul\', \'{"m": {"text": "\\u0000"}}\')')
        await tx.run("insert into notes (id, document) values ('huge', '{\"m\": {\"number\": 1e999}}')")
        await tx.run("insert into notes (id, document) values ('tiny', '{\"m\": {\"number\": 1e-999}}')")

    assert "scalars" in await found(store, ("m", "text"), "v.text = 'gold'")
    assert await found(store, ("m", "number"), "v.number between 12 and 14") == ["scalars"]


FORMS = {
    ("jane", ""): ["jane smith"],
    ("", "smith"): ["jane smith", "john_smith"],
    ("j", "n", "h"): ["jane smith", "john_smith"],
    ("john_", ""): ["john_smith"],
    ("JANE", ""): [],
    ("100%", ""): ["100%"],
    ("100%",): ["100%"],
    ("a[b]", "?"): ["a[b]*?"],
    ("a", "*?"): ["a[b]*?"],
    ("back\\", ""): ["back\\slash"],
}


async def test_a_wildcard_matches_what_has_its_form(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.run("delete from notes")
        for text in ("jane smith", "john_smith", "johnXsmit", "100%", "1000", "a[b]*?", "back\\slash"):
            await tx.run("insert into notes (id, document) values (:id, '{}')", id=text)

    matching = {}
    for literals in FORMS:
        rows = await store.all("select id from notes where wildcard(id, :form) order by id", form=Wildcard(literals))
        matching[literals] = [row[0] for row in rows]

    assert matching == FORMS
