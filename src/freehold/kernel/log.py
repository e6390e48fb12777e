"""Logs for the operator: one line per event, JSON or for a terminal, with a constant event name and fields as keywords.

Tenant, request id and client id are bound once at the edge and appear on every line of the request. Values whose key
looks like a secret are dropped before anything is formatted.
"""

from contextvars import ContextVar
from typing import Any

import structlog

_fields: ContextVar[dict[str, Any] | None] = ContextVar("freehold_log_fields", default=None)


def get_logger(name: str) -> Any:
    """A logger whose lines carry its name; usable before `configure` was called."""
    return structlog.get_logger(component=name)


def begin_request(request_id: str) -> None:
    """Start the fields of a request; called once by the edge."""
    _fields.set({"request_id": request_id})


def bind(**fields: str) -> None:
    """Add fields, such as `client_id`, to every later line of this request; without a request nothing happens."""
    bound = _fields.get()
    if bound is not None:
        bound.update(fields)


def _add_request_fields(_logger: Any, _method: str, event: Any) -> Any:
    fields = _fields.get()
    return {**fields, **event} if fields else event


# Until `configure` is called: never with local variables of a traceback, which may be secrets.
structlog.configure(
    processors=[
        _add_request_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso"),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
)
