"""`sort` names one listed field and a direction."""

import pytest

from freehold.kernel.search import InvalidParameter, order_by
from freehold.kernel.store import Store, create_schema
from tests.kernel.search.people import FIELDS, MEMBERS, PEOPLE, Person, fill


@pytest.fixture
async def store(empty_store: Store) -> Store:
    await create_schema(empty_store, [PEOPLE, MEMBERS])
    people: list[Person] = [
        {"id": "1", "email": "b@x", "logins": 2, "created_at": "2019-01-03T00:00:00.000Z", "nickname": "É"},
        {"id": "2", "email": "C@x", "created_at": "2019-01-01T00:00:00.000Z", "nickname": "a"},
        {"id": "3", "email": "a@x", "logins": 10, "created_at": "2019-01-02T00:00:00.000Z"},
        {"id": "4", "created_at": "2019-01-02T00:00:00.000Z", "nickname": "Z"},
    ]
    await fill(empty_store, people)
    return empty_store


ORDERS = {
    None: "1342",
    "": "1342",
    "email:1": "3124",
    "email:-1": "2134",
    "created_at:1": "2341",
    "created_at:-1": "1342",
    "logins:1": "1324",
    "logins:-1": "3124",
    "nickname:1": "4213",
}


async def test_rows_come_in_the_wanted_order_and_those_without_the_value_last(store: Store) -> None:
    found = {}
    for sort in ORDERS:
        wanted = order_by(sort, FIELDS, default="people.created_at_ms desc", tie="people.id")
        rows = await store.all(f"select id from people order by {wanted}")
        found[sort] = "".join(row[0] for row in rows)

    assert found == ORDERS


@pytest.mark.parametrize(
    "sort",
    ["email", "email:0", "email:2", "email:1:1", "email:+1", ":1", "name:1", "tenant_id:1", "user_metadata.a:1",
     "email:1; drop table people", "email.domain:1", "email:-1 ", "email:1\n", "\0:1"],
)  # fmt: skip
def test_anything_else_is_refused_and_told_what_there_is(sort: str) -> None:
    with pytest.raises(InvalidParameter, match="created_at,email,logins,nickname' on property sort"):
        order_by(sort, FIELDS, default="created_at_ms", tie="id")
