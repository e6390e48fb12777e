"""Refusals of query parameters, in the words of Auth0's validator: the reason in quotes, then the parameter."""

from freehold.kernel.errors import BadRequest

_MEANING = {
    "page": "Page index of the results to return, the first page is 0",
    "per_page": "Number of results per page",
    "include_totals": "Answer with an object that holds the total (true) or with an array (false)",
    "from": "The value of next in the answer before",
    "take": "Number of results per page",
    "fields": "Comma-separated list of fields to include or exclude",
    "include_fields": "Include the given fields (true) or exclude them (false)",
    "sort": "Field to sort by, as field:1 for ascending or field:-1 for descending",
    "q": "Query in Lucene query string syntax",
}


class InvalidParameter(BadRequest):
    """A query parameter that does not hold what the operation takes."""

    code = "invalid_query_string"

    def __init__(self, reason: str, name: str) -> None:
        meaning = f" ({_MEANING[name]})" if name in _MEANING else ""
        super().__init__(f"Query validation error: '{reason}' on property {name}{meaning}.")


class InvalidQuery(InvalidParameter):
    """A query that cannot be read, or asks for what the search does not offer; the message says where and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "q")


class InvalidPaging(BadRequest):
    """A page that is not given out, or a place in the listing that this server did not give out."""

    code = "invalid_paging"
