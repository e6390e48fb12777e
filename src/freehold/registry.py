"""Everything a tenant is made of: the packages, in the order in which a new tenant gets what they give.

A new kind of data is one new file with its declaration and one new name here.
"""

from freehold.domain import events, keys, sessions, tenants, users
from freehold.kernel import vault
from freehold.kernel.declare.registry import Registry

PACKAGES = (tenants.PACKAGE, keys.PACKAGE, events.PACKAGE, users.PACKAGE, sessions.PACKAGE)

REGISTRY = Registry(PACKAGES, own_tables=(vault.VAULT_TABLE,))
