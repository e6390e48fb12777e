"""The parameters of a listing, and its answer in three styles."""

import msgspec
import pytest

from freehold.kernel.search import (
    InvalidPaging,
    InvalidParameter,
    Page,
    Pages,
    after_key,
    answer,
    decode_cursor,
    encode_cursor,
    read_page,
)
from freehold.kernel.store import Column, Store, Table, create_schema

OFFSET = Pages()
BOTH = Pages(styles=frozenset({"offset", "checkpoint"}))
CHECKPOINT = Pages(styles=frozenset({"checkpoint"}))
USERS = Pages(reach=1000, min_size=0, length=True)


def page(pages: Pages, **params: str) -> Page:
    return read_page({("from" if name == "from_" else name): value for name, value in params.items()}.get, pages)


def test_without_parameters_a_listing_is_a_bare_array_of_the_first_fifty() -> None:
    assert page(OFFSET) == Page(50)
    assert page(BOTH, page="", per_page="", take="", from_="") == Page(50)
    assert answer(page(OFFSET), "roles", [{"id": "a"}], total=1) == [{"id": "a"}]


def test_page_and_per_page_choose_a_part() -> None:
    assert page(OFFSET, page="2", per_page="10") == Page(10, start=20)
    assert page(OFFSET, page="3") == Page(50, start=150)
    assert page(USERS, per_page="0", include_totals="true") == Page(0, totals=True, length=True)


def test_totals_put_the_items_into_an_object() -> None:
    wanted = page(OFFSET, page="1", per_page="2", include_totals="true")

    assert answer(wanted, "roles", ["c"], total=3) == {"start": 2, "limit": 2, "total": 3, "roles": ["c"]}
    assert answer(wanted, "invitations", ["c"]) == {"start": 2, "limit": 2, "invitations": ["c"]}


def test_users_and_logs_say_the_length_too() -> None:
    body = answer(page(USERS, include_totals="true"), "users", ["a", "b"], total=2)

    assert body == {"start": 0, "limit": 50, "length": 2, "total": 2, "users": ["a", "b"]}


def test_take_and_from_page_by_checkpoints_where_the_listing_offers_it() -> None:
    assert page(BOTH, take="2", per_page="50", include_totals="true") == Page(2, checkpoint=True)
    assert page(BOTH, per_page="2") == Page(2)
    assert page(CHECKPOINT) == Page(50, checkpoint=True)
    assert page(OFFSET, take="2") == Page(50)


def test_a_checkpoint_page_looks_one_row_ahead_and_names_the_next_page() -> None:
    keys = [(1, "a"), (2, "b"), (3, "c")]
    first = page(BOTH, take="2")

    cursor = first.next_cursor(keys)

    assert first.limit == 3
    assert first.shown(keys) == [(1, "a"), (2, "b")]
    assert cursor is not None
    assert answer(first, "roles", ["a", "b"], following=cursor) == {"roles": ["a", "b"], "next": cursor}
    assert page(BOTH, from_=cursor).after == (2, "b")


def test_the_last_checkpoint_page_has_no_next() -> None:
    last = page(BOTH, take="2")

    assert last.next_cursor([(1, "a"), (2, "b")]) is None
    assert answer(last, "roles", ["a", "b"]) == {"roles": ["a", "b"]}


def test_json_text_goes_into_the_answer_unread() -> None:
    texts = ['{"id" : 1}', '{"id":"\\u00e9"}']

    body = msgspec.json.encode(answer(Page(50), "roles", [msgspec.Raw(text.encode()) for text in texts]))

    assert body == b'[{"id" : 1},{"id":"\\u00e9"}]'


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("per_page", "ten", "Expected type integer but found type string"),
        ("per_page", "1.5", "Expected type integer but found type number"),
        ("per_page", "9" * 400, "Expected type integer but found type number"),
        ("per_page", "101", "Value 101 is greater than maximum 100"),
        ("per_page", "0", "Value 0 is less than minimum 1"),
        ("per_page", "-1", "Value -1 is less than minimum 1"),
        ("per_page", "٣", "Expected type integer but found type string"),
        ("per_page", " 5", "Expected type integer but found type string"),
        ("per_page", "5\n", "Expected type integer but found type string"),
        ("per_page", "0x10", "Expected type integer but found type string"),
        ("page", "-1", "Value -1 is less than minimum 0"),
        ("page", "99999999999", "Value 99999999999 is greater than maximum 10000000"),
        ("include_totals", "yes", "Expected type boolean but found type string"),
        ("include_totals", "TRUE", "Expected type boolean but found type string"),
        ("take", "101", "Value 101 is greater than maximum 100"),
        ("take", "0", "Value 0 is less than minimum 1"),
        ("take", "all", "Expected type integer but found type string"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_refused_by_name(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        page(BOTH, **{name: value})

    assert refused.value.code == "invalid_query_string"
    assert refused.value.message.startswith(f"Query validation error: '{reason}' on property {name} (")


def test_some_listings_end_at_a_thousand_records() -> None:
    assert page(USERS, page="9", per_page="100").start == 900
    assert page(USERS, page="19").start == 950
    for params in ({"page": "10", "per_page": "100"}, {"page": "20"}, {"page": "14", "per_page": "70"}):
        with pytest.raises(InvalidPaging, match="You can only page through the first 1000 records") as refused:
            page(USERS, **params)
        assert refused.value.code == "invalid_paging"
    assert page(OFFSET, page="10", per_page="100").start == 1000


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!", "é", "====", "A" * 5000, "WzEsdHJ1ZV0", "W251bGwsImEiXQ", "WzEuNSwiYSJd", "e30"),
        *map(encode_cursor, [("a",), ("a", 1), (1, "a", "b"), (1, "a\0"), (1 << 63, "a")]),
    ],
)
def test_a_cursor_that_this_server_did_not_give_out_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidPaging, match="The checkpoint ID provided in the 'from' parameter"):
        page(BOTH, from_=cursor)


@pytest.mark.parametrize("key", [(0, ""), (1700000000000, "auth0|é"), (-5, "a,b")])
def test_a_cursor_holds_its_key(key: tuple[int, str]) -> None:
    assert decode_cursor(encode_cursor(key), (int, str)) == key
    assert encode_cursor(key).replace("-", "").replace("_", "").isalnum()


async def test_pages_by_checkpoint_show_each_row_once(empty_store: Store) -> None:
    notes = Table("notes", (Column("at", "bigint"), Column("id", "text")), key=("id",))
    await create_schema(empty_store, [notes])
    rows = [{"at": number // 3, "id": id_} for number, id_ in enumerate("qwertyuiopas")]
    async with empty_store.transaction() as tx:
        await tx.run_many("insert into notes (at, id) values (:at, :id)", rows)

    for descending, order in ((False, "at, id"), (True, "at desc, id desc")):
        seen: list[tuple[object, ...]] = []
        cursor: str | None = ""
        while cursor is not None:
            wanted = page(BOTH, take="5", from_=cursor)
            where, params = "1 = 1", {}
            if wanted.after is not None:
                condition = after_key(wanted.after, ("at", "id"), descending=descending)
                where, params = condition.sql, condition.params
            found = await empty_store.all(
                f"select at, id from notes where {where} order by {order} limit :limit", limit=wanted.limit, **params
            )
            seen += wanted.shown(found)
            cursor = wanted.next_cursor(found)

        expected = sorted(((row["at"], row["id"]) for row in rows), reverse=descending)
        assert seen == expected
