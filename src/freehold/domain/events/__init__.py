"""The tenant log: what happened, in Auth0's types and fields, written with what it tells about."""

from freehold.domain.events.operations import OPERATIONS
from freehold.domain.events.retention import forget
from freehold.domain.events.sink import EVENTS, TenantLog
from freehold.domain.events.table import LOGS
from freehold.domain.events.types import EVENT_TYPES
from freehold.kernel.declare import Package

TOPIC_FORGET = "events.forget"

PACKAGE = Package(
    name="events",
    declarations=(LOGS,),
    operations=OPERATIONS,
    jobs={TOPIC_FORGET: forget},
    periodic={TOPIC_FORGET: 24 * 3600},
)

__all__ = ["EVENTS", "EVENT_TYPES", "LOGS", "PACKAGE", "TenantLog"]
