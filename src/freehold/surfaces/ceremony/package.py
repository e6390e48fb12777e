"""What the registry takes from the ceremony's surfaces: their tables and jobs."""

from freehold.domain import ceremonies
from freehold.kernel.declare import Package
from freehold.surfaces.ceremony import working
from freehold.surfaces.ceremony.delivery.rounds import EVERY_S, TOPIC_ROUND, go_round
from freehold.surfaces.ceremony.delivery.tables import TABLES

PACKAGE = Package(
    name="ceremony_delivery",
    declarations=TABLES,
    jobs={
        TOPIC_ROUND: go_round,
        ceremonies.TOPIC_BUILD: working.build,
        ceremonies.TOPIC_DESTROY: working.remove,
        working.TOPIC_STEP: working.go_round,
    },
    periodic={TOPIC_ROUND: EVERY_S, working.TOPIC_STEP: working.EVERY_S},
)

__all__ = ["PACKAGE"]
