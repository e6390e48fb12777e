"""The `sort` parameter: one field and a direction, `created_at:-1`."""

import re

from freehold.kernel.search.fields import FieldSet
from freehold.kernel.search.refusals import InvalidParameter

_SORT = re.compile(r"(?P<field>[^:]+):(?P<direction>-?1)")


def order_by(sort: str | None, fields: FieldSet, *, default: str, tie: str) -> str:
    """What to write behind `order by`: the wanted order, then `tie` so that pages neither repeat nor skip a row.

    `default` is the order without the parameter. Absent values come last either way. Raises InvalidParameter.
    """
    if not sort:
        return f"{default}, {tie}"
    match = _SORT.fullmatch(sort)
    name = match["field"] if match else ""
    wanted = fields.fields[name].order() if name in fields.sortable else None
    if match is None or wanted is None:
        names = ",".join(sorted(fields.sortable))
        raise InvalidParameter(
            f"String does not match pattern. Must be one of the following fields, then :1 or :-1: {names}", "sort"
        )
    direction = "desc" if match["direction"] == "-1" else "asc"
    absent = " nulls last" if fields.fields[name].null else ""
    return f"{wanted} {direction}{absent}, {tie}"
