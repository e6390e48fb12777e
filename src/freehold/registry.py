"""Everything a tenant is made of: the packages, in the order in which a new tenant gets what they give.

A new kind of data is one new file with its declaration and one new name here.
"""

from freehold.domain import (
    access,
    administrators,
    applications,
    attribute_profiles,
    audit,
    authenticators,
    ceremonies,
    connections,
    events,
    extensions,
    jobs,
    keys,
    messaging,
    protection,
    sessions,
    tenants,
    tickets,
    users,
)
from freehold.domain.ceremonies import evidence
from freehold.kernel import vault
from freehold.kernel.declare.registry import Registry
from freehold.protocols.oauth import tables as oauth
from freehold.surfaces.ceremony import package as ceremony

PACKAGES = (
    tenants.PACKAGE,
    keys.PACKAGE,
    events.PACKAGE,
    audit.PACKAGE,
    applications.PACKAGE,
    access.PACKAGE,
    connections.PACKAGE,
    attribute_profiles.PACKAGE,
    users.PACKAGE,
    sessions.PACKAGE,
    tickets.PACKAGE,
    extensions.PACKAGE,
    authenticators.PACKAGE,
    protection.PACKAGE,
    administrators.PACKAGE,
    ceremonies.PACKAGE,
    evidence.PACKAGE,
    messaging.PACKAGE,
    jobs.PACKAGE,
    oauth.PACKAGE,
    ceremony.PACKAGE,
)

REGISTRY = Registry(PACKAGES, own_tables=(vault.VAULT_TABLE,))
