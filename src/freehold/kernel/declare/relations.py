"""Reading and writing the pairs of a Link."""

from collections.abc import Iterable
from typing import Any

from freehold.kernel.declare import documents
from freehold.kernel.declare.compile import table_of
from freehold.kernel.declare.scope import TenantScope
from freehold.kernel.declare.shapes import Collection, Link
from freehold.kernel.store import Reader, Row, Transaction


async def relate(tx: Transaction, tenant: TenantScope, link: Link, pairs: Iterable[tuple[str, str]]) -> None:
    """Add pairs of left and right ids; those that are there already stay."""
    now = tenant.clock.now_ms()
    rows = [{"tenant_id": tenant.id, "left_id": a, "right_id": b, "created_at": now} for a, b in pairs]
    sql = (
        f"insert into {link.table} (tenant_id, left_id, right_id, created_at) "  # noqa: S608
        "values (:tenant_id, :left_id, :right_id, :created_at) on conflict do nothing"
    )
    await tx.run_many(sql, rows)
    tx.touch(tenant.id)


async def part(tx: Transaction, tenant: TenantScope, link: Link, pairs: Iterable[tuple[str, str]]) -> None:
    """Remove pairs of left and right ids."""
    sql = f"delete from {link.table} where tenant_id = :tenant_id and left_id = :a and right_id = :b"  # noqa: S608
    await tx.run_many(sql, [{"tenant_id": tenant.id, "a": a, "b": b} for a, b in pairs])
    tx.touch(tenant.id)


async def related_ids(
    reader: Reader, tenant: TenantScope, link: Link, near_id: str, *, reverse: bool = False
) -> list[str]:
    """The ids at the other end, ordered; `reverse` starts from the right-hand side."""
    near, far = ("right_id", "left_id") if reverse else ("left_id", "right_id")
    sql = f"select {far} from {link.table} where tenant_id = :tenant_id and {near} = :near order by {far}"  # noqa: S608
    return [row[0] for row in await reader.all(sql, tenant_id=tenant.id, near=near_id)]


async def related(
    reader: Reader,
    tenant: TenantScope,
    link: Link,
    far: Collection[Any],
    near_id: str,
    *,
    reverse: bool,
    bounds: str,
    limits: dict[str, Any],
    count: bool,
) -> tuple[list[Row], int | None]:
    """Rows of the far documents, bounded by a page's SQL, and how many there are in all when asked."""
    near_column, far_column = ("right_id", "left_id") if reverse else ("left_id", "right_id")
    table = table_of(far).name
    joined = (
        f"from {table} d join {link.table} l on l.tenant_id = d.tenant_id and l.{far_column} = d.id "
        f"where d.tenant_id = :tenant_id and l.{near_column} = :near"
    )
    params = {"tenant_id": tenant.id, "near": near_id}
    columns = documents.statements(far).select.split(" from ", 1)[0].removeprefix("select ")
    listed = ", ".join(c if c in {"''", "null"} else f"d.{c}" for c in columns.split(", "))
    rows = await reader.all(f"select {listed} {joined}{bounds}", **params, **limits)
    if not count:
        return rows, None
    row = await reader.one(f"select count(*) {joined}", **params)
    return rows, int(row[0]) if row else 0
