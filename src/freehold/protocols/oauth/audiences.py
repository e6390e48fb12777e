"""Which API a token is for, and what of it a user's token may hold.

Asked again at every issuance: an API that is gone, a client grant or a role that was taken away counts at once.
"""

from collections.abc import Sequence

from msgspec import UNSET

from freehold.domain.access import CLIENT_GRANTS, RESOURCE_SERVERS, ResourceServer, mfa_api, permissions_of, scopes_of
from freehold.domain.applications import Client
from freehold.domain.authenticators import mfa_audience
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Reader, Store
from freehold.protocols.oauth.errors import AccessDenied

OPENID_SCOPES = frozenset({"openid", "profile", "email", "phone", "address", "offline_access"})
OWN_DATA_SCOPES = frozenset(
    {
        "read:current_user",
        "delete:current_user",
        "create:current_user_metadata",
        "update:current_user_metadata",
        "delete:current_user_metadata",
        "update:current_user_identities",
        "create:current_user_device_credentials",
        "delete:current_user_device_credentials",
    }
)
"""All that a user's token may ever do at the Management API: work on the user's own account."""


class NotGranted(AccessDenied):
    """The client may not have tokens for this API."""


async def find_api(store: Store, tenant: TenantScope, audience: str | None) -> ResourceServer | None:
    """The API of an audience; None without one and for /userinfo.

    Raises AccessDenied for one that does not exist, or whose tokens must be what this server cannot make yet.
    """
    if not audience or audience == f"{tenant.issuer}userinfo":
        return None
    api = await documents.cached_by(store, tenant, RESOURCE_SERVERS, identifier=audience)
    if api is None and audience == mfa_audience(tenant):
        return mfa_api(tenant)
    if api is None:
        raise AccessDenied(f"Service not found: {audience[:200]}")
    if api.token_encryption:
        raise AccessDenied("The API wants encrypted tokens, which this server cannot make yet.")
    if api.consent_policy or api.authorization_policy:
        raise AccessDenied(
            "The API wants consent to each transaction or a policy's consent, which cannot be asked for yet."
        )
    if api.proof_of_possession and api.proof_of_possession.required:
        raise AccessDenied("The API wants tokens that are bound to a key, which this server cannot make yet.")
    return api


async def default_audience(store: Store, tenant: TenantScope) -> str | None:
    """The API of requests that name none, when the tenant has chosen one."""
    settings = await documents.cached_singleton(store, tenant, SETTINGS)
    return settings.default_audience or None


async def scopes_for_users(store: Store, tenant: TenantScope, client: Client, api: ResourceServer) -> frozenset[str]:
    """The scopes of the API that this client may ask of users. Raises NotGranted."""
    if api.identifier == tenant.management_audience:
        return OWN_DATA_SCOPES
    policies = api.subject_type_authorization
    policy = "allow_all" if policies is UNSET or policies.user is UNSET else policies.user.policy
    if policy == "allow_all":
        return frozenset(scope.value for scope in api.scopes) if api.scopes is not UNSET else frozenset()
    grant = None
    if policy == "require_client_grant":
        grant = await documents.cached_by(
            store, tenant, CLIENT_GRANTS, client_id=client.client_id, audience=api.identifier, subject_type="user"
        )
    if grant is None:
        raise NotGranted(not_granted(client.client_id, api.identifier))
    return frozenset(scopes_of(grant, api))


async def granted_scopes(
    reader: Reader,
    tenant: TenantScope,
    api: ResourceServer | None,
    *,
    allowed: frozenset[str],
    user_id: str,
    asked: Sequence[str],
) -> tuple[list[str], list[str] | None]:
    """Which of the scopes asked for the user gets for the API, and the `permissions` claim when the API wants it.

    `allowed` is what the client may ask for (`scopes_for_users`). With RBAC a user gets of it what they hold, directly
    or by roles; without, all of it.
    """
    standard = [scope for scope in asked if scope in OPENID_SCOPES]
    if api is None:
        return standard, None
    if "offline_access" in standard and not api.allow_offline_access:
        standard.remove("offline_access")
    wanted = [scope for scope in asked if scope in allowed and scope not in OPENID_SCOPES]
    if api.enforce_policies is not True:
        return [*standard, *wanted], None
    held = await permissions_of(reader, tenant, user_id, api.identifier)
    dialect = api.token_dialect if api.token_dialect is not UNSET else ""
    permissions = sorted(held) if dialect.endswith("_authz") else None
    return [*standard, *(scope for scope in wanted if scope in held)], permissions


def not_granted(client_id: str, audience: str) -> str:
    """What a client is told that lacks a client grant, in Auth0's words."""
    return (
        f'Client "{client_id}" is not authorized to access resource server "{audience[:200]}". '
        'You need to create a "client-grant" associated to this API.'
    )
