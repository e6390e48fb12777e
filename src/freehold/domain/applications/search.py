"""The query `q` of the clients' listing: which applications have a client grant that organizations may use."""

import re
from typing import Any

from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import JsonPath

_TERM = re.compile(r"client_grant\.(organization_id|allow_any_organization):\"?([A-Za-z0-9_]+)\"?")
_OTHERS = ("is_global", "is_first_party", "app_type", "external_client_id", "page", "per_page", "include_totals")


def by_client_grant(call: Call, query: str) -> tuple[str, dict[str, Any]]:
    """The condition that a query stands for. Raises BadRequest for any but the two that there are."""
    found = _TERM.fullmatch(query.strip())
    if found is None or (found[1] == "allow_any_organization" and found[2] != "true"):
        raise _refused("The query must be client_grant.organization_id:ID or client_grant.allow_any_organization:true.")
    if any(call.query(name) is not None for name in _OTHERS):
        raise _refused("The query cannot be combined with other filters or with page, per_page and include_totals.")
    if call.query("take") is None:
        raise _refused("The query needs the paging parameters from and take.")
    if found[1] == "organization_id":
        return "1 = 0", {}  # there are no organizations yet, so no grant is given to one
    grants = (
        "select ix_client_id from client_grants where tenant_id = :tenant_id and json_text(document, :q_path) = 'true'"
    )
    return f"id in ({grants})", {"q_path": JsonPath(("allow_any_organization",))}


def _refused(reason: str) -> BadRequest:
    return BadRequest(f"Query validation error: {reason}", code="invalid_query_string")
