"""`GET /users`: pages of users, found by a query in Lucene's syntax or all of them."""

from typing import Any

from freehold.domain.users import shown
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.errors import BadRequest

RECORD_LIMIT = 1000
COUNT_LIMIT_S = 2.0


async def list_users(call: Call) -> Any:
    """A page of users. Raises BadRequest for a query that cannot be read, Unavailable for one that takes too long."""
    _check_engine(call)
    page = Page.offset(call, limit=RECORD_LIMIT)
    fields = Fields.of(call)
    where = "tenant_id = :tenant_id"
    params: dict[str, Any] = {"tenant_id": call.tenant.id}
    connection = call.query("connection")
    if connection:
        where += " and ix_connection = :connection"
        params["connection"] = connection
    total = None
    if page.totals:
        counted = await call.store.search(f"select count(*) from users where {where}", **params)  # noqa: S608 - above
        total = counted[0][0]
    sql = f"select {shown.COLUMNS} from users where {where} order by id limit :size offset :start"  # noqa: S608 - above
    rows = await call.store.search(sql, **params, size=page.size, start=page.start)
    return answer(page, "users", shown.page_of(rows, fields), total=total)


def _check_engine(call: Call) -> None:
    engine = call.query("search_engine")
    if engine in {None, "", "v3"}:
        return
    if engine in {"v1", "v2"}:
        advice = " Use search_engine=v3 instead." if engine == "v2" else ""
        raise BadRequest(f"You are not allowed to use search_engine={engine}.{advice}", code="invalid_query_string")
    raise BadRequest(
        "Query validation error: 'No enum match for search_engine' on property search_engine.",
        code="invalid_query_string",
    )
