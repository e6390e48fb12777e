"""What may be asked of which API, by whom: resource servers, client grants, roles, permissions, consents."""

from freehold.domain.access import permissions, roles
from freehold.domain.access.authority import check_may_grant
from freehold.domain.access.client_grants import (
    CLIENT_GRANTS,
    granted_scopes,
    management_scopes_of,
    may_act_for_itself,
    scopes_of,
)
from freehold.domain.access.documents import (
    ROLE_PERMISSIONS,
    USER_PERMISSIONS,
    ClientGrant,
    Consent,
    ResourceServer,
    Role,
)
from freehold.domain.access.permissions import permissions_of, roles_of
from freehold.domain.access.resource_servers import RESOURCE_SERVERS, scope_values
from freehold.domain.access.roles import CONSENTS, ROLE_USERS, ROLES, consented_scopes, record_consent
from freehold.domain.access.system_apis import mfa_api
from freehold.kernel.declare import Package, TenantScope, documents
from freehold.kernel.store import Transaction


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """A new tenant offers its Management API."""
    await documents.create(tx, tenant, RESOURCE_SERVERS, {"identifier": tenant.management_audience})


PACKAGE = Package(
    name="access",
    declarations=(RESOURCE_SERVERS, CLIENT_GRANTS, ROLES, ROLE_USERS, ROLE_PERMISSIONS, USER_PERMISSIONS, CONSENTS),
    operations=permissions.OPERATIONS + roles.OPERATIONS,
    bootstrap=bootstrap,
)

__all__ = [
    "CLIENT_GRANTS",
    "CONSENTS",
    "PACKAGE",
    "RESOURCE_SERVERS",
    "ROLES",
    "ROLE_PERMISSIONS",
    "ROLE_USERS",
    "USER_PERMISSIONS",
    "ClientGrant",
    "Consent",
    "ResourceServer",
    "Role",
    "check_may_grant",
    "consented_scopes",
    "granted_scopes",
    "management_scopes_of",
    "may_act_for_itself",
    "mfa_api",
    "permissions_of",
    "record_consent",
    "roles_of",
    "scope_values",
    "scopes_of",
]  # fmt: skip
