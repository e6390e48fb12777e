"""Reading the tenant log: `/logs`, `/logs/{id}` and a user's own entries.

Pages come newest first; with `from` and `take` entries follow the given one in the order they happened, so that a
consumer can poll without missing any.
"""

import re
from typing import Any

from freehold.domain.events import records
from freehold.kernel.declare import Operation
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.errors import BadRequest, NotFound

SCOPES = ("read:logs", "read:logs_users")
RECORD_LIMIT = 1000
_SORT = re.compile(r"(?P<field>[a-z_]+):(?P<way>-?1)")
_SORTABLE = {"date": "log_id", "log_id": "log_id", "type": "type", "client_id": "client_id", "user_id": "user_id"}


async def list_logs(call: Call) -> Any:
    """Entries of the tenant."""
    if call.query("from") is not None or call.query("take") is not None:
        return await _following(call)
    return await _page(call, "tenant_id = :tenant_id", {"tenant_id": call.tenant.id}, q=_query(call))


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


async def _page(call: Call, where: str, params: dict[str, Any], *, q: str | None = None) -> Any:
    page = Page.offset(call, limit=RECORD_LIMIT)
    fields = Fields.of(call)
    total = None
    if page.totals:
        counted = await call.store.search(f"select count(*) from logs where {where}", **params)  # noqa: S608 - compiled
        total = counted[0][0]
    sql = f"select record from logs where {where} order by {_order(call)} limit :size offset :start"  # noqa: S608 - from a table
    rows = await call.store.search(sql, **params, size=page.size, start=page.start)
    return answer(page, "logs", [fields.apply(records.shown(row[0])) for row in rows], total=total)


def _query(call: Call) -> str | None:
    return call.query("q") or call.query("search")


def _order(call: Call) -> str:
    wanted = call.query("sort")
    if not wanted:
        return "log_id desc"
    match = _SORT.fullmatch(wanted)
    if match is None or match["field"] not in _SORTABLE:
        raise BadRequest(
            "Query validation error: 'String does not match pattern ^(date|type|client_id|user_id|log_id):(1|-1)$' "
            "on property sort.",
            code="invalid_query_string",
        )
    way = "asc" if match["way"] == "1" else "desc"
    return f"{_SORTABLE[match['field']]} {way}, log_id {way}"


OPERATIONS = (
    Operation(method="GET", path="logs", scopes=SCOPES, handler=list_logs, name="logs.list"),
    Operation(method="GET", path="logs/{id}", scopes=SCOPES, handler=get_log, name="logs.get"),
    Operation(method="GET", path="users/{id}/logs", scopes=SCOPES, handler=list_user_logs, name="users.logs"),
)
