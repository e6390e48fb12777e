"""Reading the tenant log: `/logs`, `/logs/{id}` and a user's own entries.

Pages come newest first; with `from` and `take` entries follow the given one in the order they happened, so that a
consumer can poll without missing any.
"""

from typing import Any

from freehold.domain.events import records
from freehold.domain.events.search import LOG_FIELDS
from freehold.kernel.declare import Operation
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.errors import NotFound
from freehold.kernel.search import order_by, translate

SCOPES = ("read:logs", "read:logs_users")
RECORD_LIMIT = 1000


async def list_logs(call: Call) -> Any:
    """Entries of the tenant."""
    if call.query("from") is not None or call.query("take") is not None:
        return await _following(call)
    query = translate(call.query("q") or call.query("search"), LOG_FIELDS)
    return await _page(call, f"tenant_id = :tenant_id and {query.sql}", {"tenant_id": call.tenant.id, **query.params})


async def list_user_logs(call: Call) -> Any:
    """Entries about one user."""
    where = "tenant_id = :tenant_id and user_id = :user_id"
    return await _page(call, where, {"tenant_id": call.tenant.id, "user_id": call.params["id"]})


async def get_log(call: Call) -> dict[str, Any]:
    """One entry. Raises NotFound."""
    record = await records.find_record(call.store, call.tenant.id, call.params["id"])
    if record is None:
        raise NotFound("Log not found.", code="log_not_found")
    return record


async def _following(call: Call) -> list[dict[str, Any]]:
    size, last_seen = Page.taken(call)
    fields = Fields.of(call)
    rows = await call.store.all(
        "select record from logs where tenant_id = :tenant_id and log_id > :last_seen order by log_id limit :size",
        tenant_id=call.tenant.id,
        last_seen=last_seen,
        size=size,
    )
    return [fields.apply(records.shown(row[0])) for row in rows]


async def _page(call: Call, where: str, params: dict[str, Any]) -> Any:
    page = Page.offset(call, limit=RECORD_LIMIT)
    fields = Fields.of(call)
    order = order_by(call.query("sort"), LOG_FIELDS, default="log_id desc", tie="log_id desc")
    total = None
    if page.totals:
        counted = await call.store.search(f"select count(*) from logs where {where}", **params)  # noqa: S608 - compiled
        total = counted[0][0]
    sql = f"select record from logs where {where} order by {order} limit :size offset :start"  # noqa: S608 - from a table
    rows = await call.store.search(sql, **params, size=page.size, start=page.start)
    return answer(page, "logs", [fields.apply(records.shown(row[0])) for row in rows], total=total)


OPERATIONS = (
    Operation(method="GET", path="logs", scopes=SCOPES, handler=list_logs, name="logs.list"),
    Operation(method="GET", path="logs/{id}", scopes=SCOPES, handler=get_log, name="logs.get"),
    Operation(method="GET", path="users/{id}/logs", scopes=SCOPES, handler=list_user_logs, name="users.logs"),
)
