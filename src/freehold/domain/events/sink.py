"""Writing the tenant log: one insert, in the transaction of what it tells about."""

from typing import Any

import msgspec

from freehold.domain.events.types import EVENT_TYPES
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_log_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Writer

LONGEST_TEXT = 1024
"""Longer values of what a client sent (user agents, identifiers) are cut: nobody fills the log through one field."""

_INSERT = """
insert into logs (tenant_id, log_id, date_ms, type, client_id, user_id, record)
values (:tenant_id, :log_id, :date_ms, :type, :client_id, :user_id, :record)
"""
_encode = msgspec.json.Encoder().encode


class TenantLog:
    """Records events in Auth0's shape; the `EventSink` of every tenant."""

    async def record(self, tx: Writer, tenant: TenantScope, type: str, **fields: Any) -> None:  # noqa: A002
        """Append one event. `fields` are members of Auth0's log record; those that are None are left out."""
        if type not in EVENT_TYPES:
            raise ValueError(f"{type} is not a log event type")
        now_ms = tenant.clock.now_ms()
        log_id = new_log_id(now_ms)
        record = {"date": iso(now_ms), "type": type, "log_id": log_id}
        for name, value in fields.items():
            if value is not None:
                record[name] = value[:LONGEST_TEXT] if value.__class__ is str and name != "scope" else value
        if "client_id" in record:
            record.setdefault("client_name", "")  # as Auth0's entries have it whose writer knows only the id
        await tx.add(
            _INSERT,
            tenant_id=tenant.id,
            log_id=log_id,
            date_ms=now_ms,
            type=type,
            client_id=record.get("client_id"),
            user_id=record.get("user_id"),
            # PostgreSQL's JSON functions refuse an escaped NUL, which a sign-in form can carry.
            record=_encode(record).replace(b"\\u0000", b"\\ufffd").decode(),
        )


EVENTS = TenantLog()
