"""APIs (resource servers), what clients may ask of them, roles, permissions and consents.

Permissions are rows of their own: a token request joins a user's roles with their permissions in one statement.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from freehold.kernel.declare import (
    Document,
    Immutable,
    Indexed,
    Length,
    Part,
    Pattern,
    Range,
    Ref,
    Secret,
    ServerSet,
    Stored,
    Unique,
)
from freehold.kernel.store.schema import Column, Index, Table

MAX_TOKEN_LIFETIME_S = 2_592_000


class ApiScope(Part):
    """One permission that an API knows."""

    value: Annotated[str, Length(1, 280)]
    description: Annotated[str, Length(0, 500)] | UnsetType = UNSET


class EncryptionKey(Part):
    """The public key that access tokens are encrypted for."""

    alg: Literal["RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"]
    pem: Annotated[str, Length(1, 4096)]
    name: Annotated[str, Length(1, 128)] | UnsetType = UNSET
    kid: Annotated[str, Length(1, 128)] | UnsetType = UNSET


class TokenEncryption(Part):
    """Access tokens signed and then encrypted."""

    format: Literal["compact-nested-jwe"]
    encryption_key: EncryptionKey


class ProofOfPossession(Part):
    """Whether tokens are bound to a key of the client."""

    mechanism: Literal["mtls", "dpop"]
    required: bool
    required_for: Literal["public_clients", "all_clients"] | UnsetType = UNSET


class UserPolicy(Part):
    """Which clients get tokens for users."""

    policy: Literal["allow_all", "deny_all", "require_client_grant"]


class ClientPolicy(Part):
    """Which clients get tokens on their own account."""

    policy: Literal["deny_all", "require_client_grant"]


class SubjectTypeAuthorization(Part):
    """Who gets tokens for an API, by the kind of subject."""

    user: UserPolicy | UnsetType = UNSET
    client: ClientPolicy | UnsetType = UNSET


class AuthorizationPolicy(Part):
    """An external policy that decides on tokens."""

    policy_id: Annotated[str, Length(1, 1024)]


class ResourceServer(Document):
    """An API that access tokens are issued for."""

    id: Annotated[str, ServerSet()]
    identifier: Annotated[Annotated[str, Length(1, 600)], Immutable(), Unique()]
    name: Annotated[str, Pattern("^[^<>]+$"), Length(1, 200)] | UnsetType = UNSET
    is_system: Annotated[bool | UnsetType, ServerSet()] = UNSET
    scopes: list[ApiScope] | UnsetType = UNSET
    signing_alg: Literal["HS256", "RS256", "RS512", "PS256"] = "RS256"
    # Not shown to those who may only read APIs: with it tokens can be made. Who may change it may also read it.
    signing_secret: Annotated[Annotated[str, Length(16, 4096)] | UnsetType, Secret(("update:resource_servers",))] = (
        UNSET
    )
    allow_offline_access: bool = False
    allow_online_access: bool | UnsetType = UNSET
    allow_online_access_with_ephemeral_sessions: bool | UnsetType = UNSET
    skip_consent_for_verifiable_first_party_clients: bool = False
    token_lifetime: Annotated[int, Range(0, MAX_TOKEN_LIFETIME_S)] = 86_400
    # Recorded as accepted and given back, though the contract shows it in answers only.
    token_lifetime_for_web: Annotated[int, Range(0, MAX_TOKEN_LIFETIME_S)] = 7_200
    token_dialect: (
        Literal["access_token", "access_token_authz", "rfc9068_profile", "rfc9068_profile_authz"] | UnsetType
    ) = UNSET
    enforce_policies: bool | UnsetType = UNSET
    token_encryption: TokenEncryption | UnsetType | None = UNSET
    consent_policy: Literal["transactional-authorization-with-mfa"] | UnsetType | None = UNSET
    authorization_details: list[Any] | UnsetType | None = UNSET
    proof_of_possession: ProofOfPossession | UnsetType | None = UNSET
    subject_type_authorization: SubjectTypeAuthorization | UnsetType = UNSET
    authorization_policy: AuthorizationPolicy | UnsetType | None = UNSET
    client_id: Annotated[str | UnsetType, ServerSet()] = UNSET
    """The client that is this API, if one was made for it."""


class ClientGrant(Document):
    """Which scopes of an API a client may get, for itself or for its users."""

    id: Annotated[str, ServerSet()]
    audience: Annotated[
        Annotated[str, Length(1, 600)],
        Immutable(),
        Unique(within=("client_id", "subject_type")),
        Ref("resource_servers", on_delete="cascade", field="identifier"),
    ]
    client_id: Annotated[str | UnsetType, Immutable(), Ref("clients", on_delete="cascade")] = UNSET
    scope: list[Annotated[str, Length(1, 280)]] | None = []
    organization_usage: Literal["deny", "allow", "require"] | UnsetType | None = UNSET
    allow_any_organization: bool | UnsetType | None = UNSET
    subject_type: Annotated[Literal["client", "user"], Immutable(), Indexed()] = "client"
    authorization_details_types: list[Annotated[str, Length(1, 255)]] | UnsetType = UNSET
    allow_all_scopes: bool | UnsetType | None = UNSET
    default_for: Annotated[Literal["third_party_clients"] | UnsetType, Immutable()] = UNSET
    is_system: Annotated[bool | UnsetType, ServerSet()] = UNSET


class Role(Document):
    """A named set of permissions that can be given to users."""

    id: Annotated[str, ServerSet()]
    name: Annotated[str, Unique(), Length(1, 255)]
    description: Annotated[str, Length(0, 1000)] = ""
    type: Annotated[str, ServerSet()] = "tenant"


class Consent(Document):
    """What a user allowed an application to do; Auth0 calls it a grant and spells `clientID`."""

    id: Annotated[str, ServerSet()]
    clientID: Annotated[str, Ref("clients", on_delete="cascade")]  # noqa: N815 - the name on the wire
    user_id: Annotated[str, Ref("users", on_delete="cascade")]
    audience: Annotated[str, Indexed()]
    scope: list[str] = []


def _permissions(table: str, holder: str) -> Table:
    return Table(
        table,
        (
            Column("tenant_id", "text"),
            Column(holder, "text"),
            Column("resource_server_id", "text"),
            Column("permission", "text"),
            Column("created_at", "bigint"),
        ),
        key=("tenant_id", holder, "resource_server_id", "permission"),
        indexes=(Index(("tenant_id", "resource_server_id", "permission")),),
    )


ROLE_PERMISSIONS = Stored(
    table=_permissions("role_permissions", "role_id"),
    refs={"role_id": "roles", "resource_server_id": "resource_servers"},
    cascade=frozenset({"role_id", "resource_server_id"}),
)
USER_PERMISSIONS = Stored(
    table=_permissions("user_permissions", "user_id"),
    refs={"user_id": "users", "resource_server_id": "resource_servers"},
    cascade=frozenset({"user_id", "resource_server_id"}),
)
