"""Applications: what signs people in, or calls APIs on its own account."""

from freehold.domain.applications import clients, credentials
from freehold.domain.applications.clients import CLIENTS
from freehold.domain.applications.credentials import CLIENT_CREDENTIALS, credentials_of
from freehold.domain.applications.defaults import ALL_GRANTS, is_public
from freehold.domain.applications.documents import Client, ClientCredential
from freehold.kernel.declare import Package, TenantScope, documents
from freehold.kernel.store import Transaction

GLOBAL_CLIENT = "All Applications"
DEFAULT_CLIENT = "Default App"


async def bootstrap(tx: Transaction, tenant: TenantScope) -> None:
    """A new tenant has the client that stands for all of them, and one to try things with."""
    everyone = {"name": GLOBAL_CLIENT, "callbacks": [], "cross_origin_authentication": True, "custom_login_page": ""}
    await documents.create(tx, tenant, CLIENTS, everyone, server={"global": True, "owners": []})
    trial = {
        "name": DEFAULT_CLIENT,
        "callbacks": [],
        "oidc_conformant": True,
        "grant_types": list(ALL_GRANTS),
        "jwt_configuration": {"alg": "RS256", "lifetime_in_seconds": 36_000},
    }
    await documents.create(tx, tenant, CLIENTS, trial)


PACKAGE = Package(
    name="applications",
    declarations=(CLIENTS, CLIENT_CREDENTIALS),
    operations=clients.OPERATIONS,
    bootstrap=bootstrap,
)

__all__ = [
    "CLIENTS", "CLIENT_CREDENTIALS", "DEFAULT_CLIENT", "GLOBAL_CLIENT", "PACKAGE", "Client", "ClientCredential",
    "credentials", "credentials_of", "is_public",
]  # fmt: skip
