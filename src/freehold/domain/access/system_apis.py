"""The APIs that the tenant itself offers: the Management API from the start, others when somebody asks for them.

Creating a resource server with one of their identifiers activates it, and answers with its fixed shape (recorded).
"""

import msgspec
from msgspec.structs import replace

from freehold.domain.access.documents import (
    ApiScope,
    ClientPolicy,
    ProofOfPossession,
    ResourceServer,
    SubjectTypeAuthorization,
    UserPolicy,
)
from freehold.domain.access.management_scopes import MANAGEMENT_SCOPES
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Transaction

EXPRESS_CONFIGURATION = "urn:auth0:express-configure"


class SystemApi(msgspec.Struct, frozen=True):
    """What is fixed about an API of the tenant's own."""

    name: str
    scopes: tuple[ApiScope, ...]
    authorization: SubjectTypeAuthorization
    token_lifetime: int = 86_400
    token_lifetime_for_web: int = 7_200
    allow_offline_access: bool = False
    skip_consent: bool = False
    enforce_policies: bool = False
    proof_of_possession: ProofOfPossession | None = None

    def apply(self, server: ResourceServer) -> None:
        """Give a resource server this API's shape; its identifier and its authorization policy stay."""
        server.is_system = True
        server.name = self.name
        server.scopes = list(self.scopes)
        server.signing_alg = "RS256"
        server.token_lifetime = self.token_lifetime
        server.token_lifetime_for_web = self.token_lifetime_for_web
        server.allow_offline_access = self.allow_offline_access
        server.skip_consent_for_verifiable_first_party_clients = self.skip_consent
        server.subject_type_authorization = self.authorization
        if self.enforce_policies:
            server.enforce_policies = True
        if self.proof_of_possession:
            server.proof_of_possession = self.proof_of_possession


MANAGEMENT = SystemApi(
    "Auth0 Management API",
    tuple(ApiScope(value=value, description=description) for value, description in MANAGEMENT_SCOPES.items()),
    SubjectTypeAuthorization(user=UserPolicy(policy="allow_all"), client=ClientPolicy(policy="require_client_grant")),
)
MY_ACCOUNT = SystemApi(
    "Auth0 My Account API",
    tuple(
        ApiScope(value=f"{verb}:me:{kind}", description=f"{verb.capitalize()} the caller's own {meaning}")
        for verb, kind, meaning in (
            ("create", "connected_accounts", "connected accounts"),
            ("read", "connected_accounts", "connected accounts"),
            ("delete", "connected_accounts", "connected accounts"),
            ("create", "authentication_methods", "authentication methods"),
            ("read", "authentication_methods", "authentication methods"),
            ("update", "authentication_methods", "authentication methods"),
            ("delete", "authentication_methods", "authentication methods"),
            ("read", "factors", "available factors"),
        )
    ),
    SubjectTypeAuthorization(user=UserPolicy(policy="require_client_grant"), client=ClientPolicy(policy="deny_all")),
    token_lifetime=600,
    token_lifetime_for_web=600,
    allow_offline_access=True,
    skip_consent=True,
    proof_of_possession=ProofOfPossession(mechanism="dpop", required=False),
)
EXPRESS = SystemApi(
    "Okta OIN Express Configuration API",
    (
        ApiScope(value="express_configure:sso", description="Set up single sign-on"),
        ApiScope(value="express_configure:scim", description="Set up SCIM"),
    ),
    SubjectTypeAuthorization(user=UserPolicy(policy="allow_all"), client=ClientPolicy(policy="deny_all")),
    token_lifetime=300,
    enforce_policies=True,
)


def management_api(tenant: TenantScope) -> SystemApi:
    """The Management API with Auth0's scopes and those of what is declared beyond Auth0."""
    known = {scope.value for scope in MANAGEMENT.scopes}
    own = [scope for scope in tenant.registry.scopes if scope not in known]
    described = tuple(ApiScope(value=scope, description=scope.replace(":", " ").capitalize()) for scope in own)
    return replace(MANAGEMENT, scopes=MANAGEMENT.scopes + described)


async def refresh(tx: Transaction, tenant: TenantScope) -> list[str]:
    """Bring the stored Management API up to this release; the scopes that came new are the answer."""
    declaration = tenant.registry.collection("resource_servers")
    for record in await documents.select(tx, tenant, declaration, identifier=tenant.management_audience):
        known = {scope["value"] for scope in record.document.get("scopes", ())}
        new = [scope for scope in management_api(tenant).scopes if scope.value not in known]
        if new:
            server = documents.typed(declaration, record)
            server.scopes = [*server.scopes, *new]
            await documents.save(tx, tenant, declaration, record, server, now=tenant.clock.now_ms())
        return [scope.value for scope in new]
    return []


def system_api(tenant: TenantScope, identifier: str) -> SystemApi | None:
    """The tenant's own API with this identifier, None for anybody else's."""
    return {
        tenant.management_audience: management_api(tenant),
        f"{tenant.issuer}me/": MY_ACCOUNT,
        EXPRESS_CONFIGURATION: EXPRESS,
    }.get(identifier)


def mfa_api(tenant: TenantScope) -> ResourceServer:
    """The API with which users change their own factors. It is there in every tenant and in no list, as at Auth0."""
    return ResourceServer(
        id="",
        identifier=f"{tenant.issuer}mfa/",
        name="MFA API",
        is_system=True,
        scopes=[
            ApiScope(value="enroll", description="Enroll an authenticator"),
            ApiScope(value="read:authenticators", description="See the caller's own authenticators"),
            ApiScope(value="remove:authenticators", description="Remove one of the caller's own authenticators"),
        ],
        signing_alg="RS256",
        token_lifetime=600,
        token_lifetime_for_web=600,
        allow_offline_access=False,
        skip_consent_for_verifiable_first_party_clients=True,
    )


def is_reserved(tenant: TenantScope, identifier: str) -> bool:
    """Whether an identifier means something else already: the userinfo endpoint, or the MFA API, as an audience."""
    return identifier in {f"{tenant.issuer}userinfo", f"{tenant.issuer}mfa/", tenant.issuer}
