"""`Range` and `If-Range` of a request for one part (RFC 9110 section 14)."""

import re

from freehold.kernel.errors import FreeholdError

_ONE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})")


class RangeNotSatisfiable(FreeholdError):
    """416: the part lies outside."""

    status, code = 416, "range_not_satisfiable"


def wanted_part(header: str | None, if_range: str | None, *, etag: str, size: int) -> tuple[int, int] | None:
    """From where up to where; None for the whole. Several parts at once get the whole, as the standard allows.

    Raises RangeNotSatisfiable.
    """
    if header is None or (if_range is not None and if_range != etag):
        return None
    match = _ONE.fullmatch(header.replace(" ", ""))
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        start, end = max(0, size - int(match["last"])), size
    else:
        start = int(match["first"])
        end = min(size, int(match["last"]) + 1) if match["last"] else size
        if match["last"] and int(match["last"]) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable("The export has no such part.")
    return start, end
