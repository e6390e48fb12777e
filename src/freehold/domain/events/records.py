"""The log record as it is served: every member Auth0 has, null (or as recorded, empty) where the event has none."""

from typing import Any

import msgspec

from freehold.kernel.store import Reader

MEMBERS = (
    "date", "type", "description", "connection", "connection_id", "organization_id", "organization_name", "client_id",
    "client_name", "ip", "hostname", "details", "user_id", "user_name", "user_agent", "audience", "scope", "strategy",
    "strategy_type", "location_info", "log_id",
)  # fmt: skip
_BLANK: dict[str, Any] = {**dict.fromkeys(MEMBERS), "client_name": ""}


def shown(text: str) -> dict[str, Any]:
    """A stored record as the API shows it."""
    record: dict[str, Any] = {**_BLANK, **msgspec.json.decode(text)}
    record["_id"] = record["log_id"]
    record["isMobile"] = "Mobi" in (record["user_agent"] or "")
    return record


async def find_record(reader: Reader, tenant_id: str, log_id: str) -> dict[str, Any] | None:
    """One record, or None."""
    sql = "select record from logs where tenant_id = :tenant_id and log_id = :log_id"
    row = await reader.one(sql, tenant_id=tenant_id, log_id=log_id)
    return None if row is None else shown(row[0])
