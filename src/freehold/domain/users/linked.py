"""Linked identities: which user an identity beside the first one belongs to, and by what it is found.

The list itself stands in the user's `identities`; this table is computed from it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from freehold.domain.users.documents import realm
from freehold.domain.users.identifiers import canonical_email, canonical_username
from freehold.kernel.declare import Derived, TenantScope
from freehold.kernel.store import Reader, Row, Transaction
from freehold.kernel.store.schema import Column, Index, Table

TABLE = Table(
    "linked_identities",
    (
        Column("tenant_id", "text"),
        Column("identity", "text"),
        Column("user_id", "text"),
        Column("realm", "text"),
        Column("email", "text", null=True),
        Column("username", "text", null=True),
        Column("phone_number", "text", null=True),
    ),
    key=("tenant_id", "identity"),
    indexes=(
        Index(("tenant_id", "user_id")),
        Index(("tenant_id", "email", "realm"), where="email is not null"),
        Index(("tenant_id", "username", "realm"), where="username is not null"),
        Index(("tenant_id", "phone_number", "realm"), where="phone_number is not null"),
    ),
)

_INSERT = """
insert into linked_identities (tenant_id, identity, user_id, realm, email, username, phone_number)
values (:tenant_id, :identity, :user_id, :realm, :email, :username, :phone_number)
"""


def identity_id(identity: Mapping[str, Any]) -> str:
    """The full id of an identity, which is the id of the user it was or would be alone."""
    return f"{identity['provider']}|{identity['user_id']}"


async def owner_of(reader: Reader, tenant: TenantScope, identity: str) -> str | None:
    """The user that a linked identity belongs to, or None when it is linked to nobody."""
    sql = "select user_id from linked_identities where tenant_id = :tenant_id and identity = :identity"
    row = await reader.one(sql, tenant_id=tenant.id, identity=identity)
    return None if row is None else row[0]


async def replace_linked(
    tx: Transaction, tenant: TenantScope, user_id: str, identities: Iterable[Mapping[str, Any]]
) -> None:
    """Bring the table in line with a user's identities; the first one is not in it."""
    await tx.run(
        "delete from linked_identities where tenant_id = :tenant_id and user_id = :user_id",
        tenant_id=tenant.id,
        user_id=user_id,
    )
    rows = list(rows_of(tenant, user_id, identities))
    if rows:
        await tx.run_many(_INSERT, rows)


async def rebuild(tx: Transaction, tenant: TenantScope) -> None:
    """Compute the whole table anew, after a restore."""
    await tx.run("delete from linked_identities where tenant_id = :tenant_id", tenant_id=tenant.id)
    after, batch = "", 1000
    while True:
        rows: list[Row] = await tx.all(
            "select id, document from users where tenant_id = :tenant_id and id > :after order by id limit :batch",
            tenant_id=tenant.id,
            after=after,
            batch=batch,
        )
        linked = [
            linked
            for id_, text in rows
            for linked in rows_of(tenant, id_, msgspec.json.decode(text).get("identities", ()))
        ]
        if linked:
            await tx.run_many(_INSERT, linked)
        if len(rows) < batch:
            return
        after = rows[-1][0]


def rows_of(tenant: TenantScope, user_id: str, identities: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """The rows of a user's identities beside the first."""
    for identity in list(identities)[1:]:
        profile = identity.get("profileData") or {}
        email, username = profile.get("email"), profile.get("username")
        yield {
            "tenant_id": tenant.id,
            "identity": identity_id(identity),
            "user_id": user_id,
            "realm": realm(identity),
            "email": canonical_email(email) if email else None,
            "username": canonical_username(username) if username else None,
            "phone_number": profile.get("phone_number"),
        }


LINKED_IDENTITIES = Derived(table=TABLE, from_="users", rebuild=rebuild)
