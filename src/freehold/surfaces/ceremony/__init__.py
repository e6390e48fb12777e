"""The export ceremony's surfaces: what prepares a sealed export, keeps it, hands it out and destroys it."""

from freehold.kernel.declare import Package
from freehold.surfaces.ceremony.delivery.rounds import EVERY_S, TOPIC_ROUND, go_round
from freehold.surfaces.ceremony.delivery.tables import TABLES

PACKAGE = Package(
    name="ceremony_delivery",
    declarations=TABLES,
    jobs={TOPIC_ROUND: go_round},
    periodic={TOPIC_ROUND: EVERY_S},
)

__all__ = ["PACKAGE"]
