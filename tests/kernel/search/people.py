"""A small table of people to search in, as the domain's users are searched."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from freehold.kernel.clock import parse_iso
from freehold.kernel.search import (
    BooleanField,
    DateField,
    DomainField,
    FieldSet,
    JsonField,
    NumberField,
    RelatedField,
    TextField,
    translate,
)
from freehold.kernel.store import Column, Store, Table

PEOPLE = Table(
    "people",
    (
        Column("tenant_id", "text"),
        Column("id", "text"),
        Column("email", "text", null=True),
        Column("name", "text", null=True),
        Column("logins", "bigint", null=True),
        Column("rating", "real", null=True),
        Column("blocked", "bigint", null=True),
        Column("created_at_ms", "bigint"),
        Column("document", "text"),
    ),
    key=("tenant_id", "id"),
)
MEMBERS = Table("members", (Column("person_id", "text"), Column("team", "text")), key=("person_id", "team"))

FIELDS = FieldSet(
    fields={
        "id": TextField("people.id"),
        "email": TextField("people.email", folded=True),
        "email.domain": DomainField("people.email"),
        "name": TextField("people.name", folded=True),
        "logins": NumberField("people.logins"),
        "rating": NumberField("people.rating", whole=False),
        "blocked": BooleanField("people.blocked"),
        "created_at": DateField("people.created_at_ms", null=False),
        "team": RelatedField("select 1 from members m where m.person_id = people.id", TextField("m.team")),
        "nickname": JsonField(("nickname",), document="people.document"),
    },
    prefixes={
        "user_metadata": JsonField(("user_metadata",), document="people.document", wildcards=False, ranges=False),
        "app_metadata": JsonField(("app_metadata",), document="people.document"),
        "identities": JsonField(("identities",), document="people.document"),
    },
    bare=("name", "email", "logins", "nickname"),
    sortable=frozenset({"email", "created_at", "logins", "nickname"}),
)

TENANT = "acme"

Person = Mapping[str, Any]
"""A document as the API shows it; `team` is a list."""


async def fill(store: Store, people: Iterable[Person]) -> None:
    """Replace what is in the tables."""
    rows, members = [], []
    for person in people:
        rows.append(
            {
                "tenant_id": TENANT,
                "id": person["id"],
                "email": lowered(person.get("email")),
                "name": lowered(person.get("name")),
                "logins": person.get("logins"),
                "rating": person.get("rating"),
                "blocked": None if person.get("blocked") is None else int(person["blocked"]),
                "created_at_ms": int(parse_iso(person["created_at"]).timestamp() * 1000),
                "document": json.dumps(person, ensure_ascii=False),
            }
        )
        members += [{"person_id": person["id"], "team": team} for team in person.get("team", ())]
    async with store.transaction() as tx:
        await tx.run("delete from people")
        await tx.run("delete from members")
        if rows:
            await tx.run_many(
                "insert into people values (:tenant_id, :id, :email, :name, :logins, :rating, :blocked, :created_at_ms,"
                " :document)",
                rows,
            )
        if members:
            await tx.run_many("insert into members values (:person_id, :team)", members)


async def ids_of(store: Store, query: str) -> list[str]:
    """The ids that a query finds, sorted."""
    condition = translate(query, FIELDS)
    rows = await store.search(
        f"select id from people where tenant_id = :tenant_id and {condition.sql} order by id",
        tenant_id=TENANT,
        **condition.params,
    )
    return [row[0] for row in rows]


def lowered(text: str | None) -> str | None:
    return None if text is None else text.lower()
