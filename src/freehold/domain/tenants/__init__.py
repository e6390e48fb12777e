"""The tenants of this server: how they are found, made, emptied, moved to another domain, and their settings."""

from freehold.domain.tenants import expiry
from freehold.domain.tenants.settings import SETTINGS, TenantSettings
from freehold.domain.tenants.tables import DATA_KEYS, TENANTS
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="tenants",
    declarations=(TENANTS, DATA_KEYS, SETTINGS),
    jobs={expiry.TOPIC: expiry.clear_away},
    periodic={expiry.TOPIC: expiry.EVERY_S},
)

__all__ = ["PACKAGE", "SETTINGS", "TenantSettings"]
