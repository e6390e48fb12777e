"""`GET /users`: pages of users, found by a query in Lucene's syntax or all of them."""

from typing import Any

from freehold.domain.users import shown
from freehold.domain.users.search import USER_FIELDS
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.errors import BadRequest, Unavailable
from freehold.kernel.search import order_by, translate
from freehold.kernel.store import QueryTimeout, Row

RECORD_LIMIT = 1000
TIME_LIMIT_S = 2.0


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
    query = translate(call.query("q"), USER_FIELDS)
    where += f" and {query.sql}"
    params.update(query.params)
    order = order_by(call.query("sort"), USER_FIELDS, default="id", tie="id")
    total = None
    if page.totals:
        counted = await _search(call, f"select count(*) from users where {where}", params)  # noqa: S608 - above
        total = counted[0][0]
    sql = f"select {shown.COLUMNS} from users where {where} order by {order} limit :size offset :start"  # noqa: S608 - above
    params.update(size=page.size, start=page.start)
    # A page in the order of the ids is a few microseconds of the index: no thread is worth it.
    plain = not connection and not query.params and not call.query("sort")
    rows = await call.store.all(sql, **params) if plain else await _search(call, sql, params)
    return answer(page, "users", shown.page_of(rows, fields), total=total)


async def _search(call: Call, sql: str, params: dict[str, Any]) -> list[Row]:
    try:
        return await call.store.search(sql, timeout_s=TIME_LIMIT_S, **params)
    except QueryTimeout:
        raise Unavailable(
            "The query exceeded the timeout. Please try refining your search criteria.", code="query_timeout"
        ) from None


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
