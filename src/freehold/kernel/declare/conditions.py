"""Conditional requests (RFC 9110 section 13.1.1): a change that counts only for the version its sender has seen."""

from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest


def if_match(call: Call) -> int | None:
    """The version named in If-Match, None when the request makes no condition. Raises BadRequest."""
    header = call.request.headers.get("if-match")
    if header is None or header == "*":
        return None
    version = header.strip('"')
    if not version.isdigit():
        raise BadRequest("If-Match must hold one entity tag that this server gave out.")
    return int(version)
