"""Applications (clients) and their credentials, as the Management API shows them.

Types, limits and member names follow the June 2026 contract; where a recording differs it wins, and a comment says so.
What a new application gets is in `defaults`, what may be written in `rules`.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from freehold.domain.applications import shown
from freehold.kernel.declare import (
    Computed,
    Document,
    Immutable,
    Indexed,
    Length,
    Merge,
    Part,
    Pattern,
    Range,
    Ref,
    Secret,
    ServerSet,
)

READS_SECRETS = ("read:client_keys", "read:client_credentials")
MAX_QUOTA = 2_147_483_647

AppType = Literal[
    "native", "spa", "regular_web", "non_interactive", "resource_server", "express_configuration", "rms", "box",
    "cloudbees", "concur", "dropbox", "mscrm", "echosign", "egnyte", "newrelic", "office365", "salesforce", "sentry",
    "sharepoint", "slack", "springcm", "zendesk", "zoom", "sso_integration", "oag",
]  # fmt: skip
Addon = Literal[
    "aws", "azure_blob", "azure_sb", "rms", "mscrm", "slack", "sentry", "box", "cloudbees", "concur", "dropbox",
    "echosign", "egnyte", "firebase", "newrelic", "office365", "salesforce", "salesforce_api",
    "salesforce_sandbox_api", "samlp", "layer", "sap_api", "sharepoint", "springcm", "wams", "wsfed", "zendesk",
    "zoom", "sso_integration", "oag",
]  # fmt: skip
LogoutInitiator = Literal[
    "rp-logout", "idp-logout", "password-changed", "session-expired", "session-revoked", "account-deleted",
    "email-identifier-changed", "mfa-phone-unenrolled", "account-deactivated",
]  # fmt: skip
CredentialType = Literal["public_key", "cert_subject_dn", "x509_cert"]
KeyAlgorithm = Literal["RS256", "RS384", "PS256"]

ClientId = Annotated[str, Pattern("^[A-Za-z0-9_-]{1,64}$")]
NonEmpty = Annotated[str, Length(1, 2048)]
Strings = list[NonEmpty]


class JwtConfiguration(Part):
    """How ID tokens of the application are signed and how long they live."""

    lifetime_in_seconds: Annotated[int, Range(0, 2_592_000)] | UnsetType = UNSET
    secret_encoded: bool | UnsetType = UNSET
    scopes: dict[str, Any] | UnsetType = UNSET
    alg: Literal["HS256", "RS256", "RS512", "PS256"] | UnsetType = UNSET


class RefreshTokenPolicy(Part):
    """An API for which one refresh token also serves (multi-resource refresh tokens)."""

    audience: Annotated[str, Length(1, 600)]
    scope: list[Annotated[str, Length(1, 280)]]


class RefreshTokenConfiguration(Part):
    """Rotation and life times of refresh tokens; filled from the defaults when written."""

    rotation_type: Literal["rotating", "non-rotating"]
    expiration_type: Literal["expiring", "non-expiring"]
    leeway: Annotated[int, Range(0, 2_592_000)] | UnsetType = UNSET
    token_lifetime: Annotated[int, Range(1, 157_788_000)] | UnsetType = UNSET
    infinite_token_lifetime: bool | UnsetType = UNSET
    idle_token_lifetime: Annotated[int, Range(1, 157_788_000)] | UnsetType = UNSET
    infinite_idle_token_lifetime: bool | UnsetType = UNSET
    policies: list[RefreshTokenPolicy] | UnsetType | None = UNSET


class LogoutInitiators(Part):
    """Which events send back-channel logout."""

    mode: Literal["custom", "all"] | UnsetType = UNSET
    selected_initiators: list[LogoutInitiator] | UnsetType = UNSET


class LogoutSessionMetadata(Part):
    """Whether logout tokens carry the session's metadata."""

    include: bool | UnsetType = UNSET


class OidcLogout(Part):
    """Back-channel logout of the application."""

    backchannel_logout_urls: list[str] | UnsetType = UNSET
    backchannel_logout_initiators: LogoutInitiators | UnsetType = UNSET
    backchannel_logout_session_metadata: LogoutSessionMetadata | UnsetType | None = UNSET


class Delegation(Part):
    """Delegated access by session transfer."""

    allow_delegated_access: bool | UnsetType = UNSET
    enforce_device_binding: Literal["ip", "asn"] | UnsetType = UNSET


class SessionTransfer(Part):
    """Native to web single sign-on."""

    can_create_session_transfer_token: bool | UnsetType = UNSET
    enforce_cascade_revocation: bool | UnsetType = UNSET
    allowed_authentication_methods: list[Literal["cookie", "query"]] | UnsetType | None = UNSET
    enforce_device_binding: Literal["ip", "asn", "none"] | UnsetType = UNSET
    allow_refresh_token: bool | UnsetType = UNSET
    enforce_online_refresh_tokens: bool | UnsetType = UNSET
    delegation: Delegation | UnsetType | None = UNSET


class EncryptionKey(Part):
    """A public key to encrypt SAML assertions for."""

    pub: str | UnsetType = UNSET
    cert: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET


class AndroidApp(Part):
    """An Android application, for app links."""

    app_package_name: str | UnsetType = UNSET
    sha256_cert_fingerprints: Strings | UnsetType = UNSET


class IosApp(Part):
    """An iOS application, for universal links."""

    team_id: str | UnsetType = UNSET
    app_bundle_identifier: str | UnsetType = UNSET


class Mobile(Part):
    """Mobile applications that belong to the client."""

    android: AndroidApp | UnsetType = UNSET
    ios: IosApp | UnsetType = UNSET


class SocialSwitch(Part):
    """One provider of native social login."""

    enabled: bool | UnsetType = UNSET


class NativeSocialLogin(Part):
    """Exchange of tokens that native social SDKs got."""

    apple: SocialSwitch | UnsetType | None = UNSET
    facebook: SocialSwitch | UnsetType | None = UNSET
    google: SocialSwitch | UnsetType | None = UNSET


class FedCmGoogle(Part):
    """Google through the browser's federated credential API."""

    is_enabled: bool | UnsetType = UNSET


class FedCmLogin(Part):
    """Login through the browser's federated credential API."""

    google: FedCmGoogle | UnsetType | None = UNSET


class DefaultOrganization(Part):
    """The organization of flows that name none."""

    organization_id: Annotated[str, Pattern("^org_[A-Za-z0-9]{16}$")]
    flows: list[Literal["client_credentials"]]


class CredentialEntry(Part):
    """A credential in use: its id; or, only when the client is created, what to make it from."""

    id: Annotated[str, Pattern("^cred_[A-Za-z0-9]{16,32}$")] | UnsetType = UNSET
    credential_type: CredentialType | UnsetType = UNSET
    name: Annotated[str, Length(0, 128)] | UnsetType = UNSET
    pem: Annotated[str, Length(1, 16_384)] | UnsetType = UNSET
    subject_dn: Annotated[str, Length(1, 256)] | UnsetType = UNSET
    alg: KeyAlgorithm | UnsetType = UNSET
    parse_expiry_from_cert: bool | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    kid: Annotated[str, Pattern("^[0-9a-zA-Z_-]{10,64}$")] | UnsetType = UNSET


class CredentialUse(Part):
    """The credentials of one authentication method."""

    credentials: list[CredentialEntry]


class AuthenticationMethods(Part):
    """How the client authenticates when not by secret; at most one method."""

    private_key_jwt: CredentialUse | UnsetType = UNSET
    tls_client_auth: CredentialUse | UnsetType = UNSET
    self_signed_tls_client_auth: CredentialUse | UnsetType = UNSET


class SignedRequestObject(Part):
    """Signed authorization requests (RFC 9101)."""

    required: bool | UnsetType = UNSET
    credentials: list[CredentialEntry] | UnsetType = UNSET


class TokenVaultAccess(Part):
    """Privileged access to the token vault."""

    credentials: list[CredentialEntry]
    ip_allowlist: list[Annotated[str, Length(1, 64)]] | UnsetType = UNSET


class TokenExchange(Part):
    """Token exchange profiles the client may use."""

    allow_any_profile_of_type: list[Literal["custom_authentication", "on_behalf_of_token_exchange"]] | UnsetType = UNSET


class ClientCredentialsQuota(Part):
    """How many tokens may be issued."""

    enforce: bool | UnsetType = UNSET
    per_day: Annotated[int, Range(1, MAX_QUOTA)] | UnsetType = UNSET
    per_hour: Annotated[int, Range(1, MAX_QUOTA)] | UnsetType = UNSET


class TokenQuota(Part):
    """Token quota of the client."""

    client_credentials: ClientCredentialsQuota


class LinkedClient(Part):
    """A further client of an express configuration."""

    client_id: ClientId


ProfileId = Annotated[str, Pattern("^cop_[A-Za-z0-9]{22}$")]
AttributeProfileId = Annotated[str, Pattern("^uap_[A-Za-z0-9]{22}$")]


class ExpressConfiguration(Part):
    """How an identity provider may set this application up for a customer."""

    initiate_login_uri_template: NonEmpty
    user_attribute_profile_id: AttributeProfileId
    connection_profile_id: ProfileId
    enable_client: bool
    enable_organization: bool
    okta_oin_client_id: ClientId
    admin_login_domain: NonEmpty
    linked_clients: list[LinkedClient] | UnsetType = UNSET
    oin_submission_id: Annotated[str, Length(1, 200)] | UnsetType = UNSET


class MyOrganizationConfiguration(Part):
    """What organization administrators may do through this application."""

    allowed_strategies: list[Literal["pingfederate", "adfs", "waad", "google-apps", "okta", "oidc", "samlp"]]
    connection_deletion_behavior: Literal["allow", "allow_if_empty"]
    connection_profile_id: ProfileId | UnsetType = UNSET
    user_attribute_profile_id: AttributeProfileId | UnsetType = UNSET
    invitation_landing_client_id: ClientId | UnsetType = UNSET


class Client(Document):
    """An application that signs people in, or calls APIs on its own account."""

    client_id: Annotated[str, ServerSet()]
    name: Annotated[str, Pattern("^[^<>]+$"), Length(1, 255)]
    tenant: Annotated[str | UnsetType, Computed(shown.tenant_name)] = UNSET
    is_global: Annotated[bool, ServerSet()] = msgspec.field(default=False, name="global")
    owners: Annotated[list[str] | UnsetType, ServerSet()] = UNSET
    description: Annotated[str, Length(0, 140)] | UnsetType = UNSET
    client_secret: Annotated[Annotated[str, Length(1, 2048)] | UnsetType, Secret(READS_SECRETS)] = UNSET
    app_type: AppType | UnsetType = UNSET
    logo_uri: str | UnsetType = UNSET
    is_first_party: bool = True
    oidc_conformant: bool = False
    callbacks: list[str] | UnsetType = UNSET
    allowed_logout_urls: list[str] | UnsetType = UNSET
    allowed_origins: list[str] | UnsetType = UNSET
    web_origins: list[str] | UnsetType = UNSET
    client_aliases: Strings | UnsetType = UNSET
    allowed_clients: Strings | UnsetType = UNSET
    grant_types: Strings = []
    token_endpoint_auth_method: Literal["none", "client_secret_post", "client_secret_basic"] | UnsetType | None = UNSET
    client_authentication_methods: AuthenticationMethods | UnsetType | None = UNSET
    signed_request_object: SignedRequestObject | UnsetType = UNSET
    token_vault_privileged_access: TokenVaultAccess | UnsetType | None = UNSET
    is_token_endpoint_ip_header_trusted: bool = False
    jwt_configuration: JwtConfiguration | UnsetType = UNSET
    signing_keys: Annotated[list[dict[str, Any]] | UnsetType, Computed(shown.signing_keys, READS_SECRETS)] = UNSET
    encryption_key: EncryptionKey | UnsetType | None = UNSET
    refresh_token: RefreshTokenConfiguration | UnsetType | None = UNSET
    sso: bool | UnsetType = UNSET
    sso_disabled: bool = False
    cross_origin_authentication: bool = False
    cross_origin_auth: Annotated[bool, ServerSet()] = False
    cross_origin_loc: str | UnsetType | None = UNSET
    custom_login_page_on: bool = True
    custom_login_page: str | UnsetType = UNSET
    custom_login_page_preview: str | UnsetType = UNSET
    form_template: str | UnsetType = UNSET
    callback_url_template: Annotated[bool, ServerSet()] = False
    addons: Annotated[
        dict[Addon, dict[str, Any] | None] | UnsetType | None,
        Secret(("read:clients", "update:clients", *READS_SECRETS)),
    ] = UNSET
    client_metadata: Annotated[dict[Annotated[str, Length(1, 255)], Any] | UnsetType, Merge()] = UNSET
    mobile: Mobile | UnsetType = UNSET
    initiate_login_uri: str | UnsetType = UNSET
    native_social_login: NativeSocialLogin | UnsetType | None = UNSET
    fedcm_login: FedCmLogin | UnsetType | None = UNSET
    oidc_logout: OidcLogout | UnsetType = UNSET
    oidc_backchannel_logout: OidcLogout | UnsetType = UNSET
    session_transfer: SessionTransfer | UnsetType | None = UNSET
    default_organization: DefaultOrganization | UnsetType | None = UNSET
    organization_usage: Literal["deny", "allow", "require"] | UnsetType | None = UNSET
    organization_require_behavior: Literal["no_prompt", "pre_login_prompt", "post_login_prompt"] | UnsetType | None = (
        UNSET
    )
    organization_discovery_methods: list[Literal["email", "organization_name"]] | UnsetType | None = UNSET
    require_pushed_authorization_requests: bool | UnsetType = UNSET
    require_proof_of_possession: bool | UnsetType = UNSET
    compliance_level: (
        Literal["none", "fapi1_adv_pkj_par", "fapi1_adv_mtls_par", "fapi2_sp_pkj_mtls", "fapi2_sp_mtls_mtls"]
        | UnsetType
        | None
    ) = UNSET
    skip_non_verifiable_callback_uri_confirmation_prompt: bool | UnsetType | None = UNSET
    token_exchange: TokenExchange | UnsetType | None = UNSET
    par_request_expiry: Annotated[int, Range(10, 600)] | UnsetType | None = UNSET
    token_quota: TokenQuota | UnsetType | None = UNSET
    resource_server_identifier: Annotated[
        Annotated[str, Length(1, 600)] | UnsetType,
        Immutable(),
        Ref("resource_servers", on_delete="clear", field="identifier"),
    ] = UNSET
    third_party_security_mode: Literal["strict", "permissive"] | UnsetType = UNSET
    redirection_policy: Literal["allow_always", "open_redirect_protection"] | UnsetType = UNSET
    express_configuration: ExpressConfiguration | UnsetType | None = UNSET
    my_organization_configuration: MyOrganizationConfiguration | UnsetType | None = UNSET
    async_approval_notification_channels: list[Literal["guardian-push", "email"]] | UnsetType | None = UNSET
    external_client_id: Annotated[str | UnsetType, ServerSet(), Indexed()] = UNSET
    external_metadata_type: Annotated[str | UnsetType, ServerSet()] = UNSET
    external_metadata_created_by: Annotated[str | UnsetType, ServerSet()] = UNSET
    jwks_uri: Annotated[str | UnsetType, ServerSet()] = UNSET


class ClientCredential(Document):
    """A public key, a certificate, or the name in one, by which a client proves itself."""

    id: Annotated[str, ServerSet()]
    credential_type: Annotated[CredentialType, Immutable()]
    name: Annotated[Annotated[str, Length(0, 128)], Immutable()] = ""
    kid: Annotated[Annotated[str, Pattern("^[0-9a-zA-Z_-]{10,64}$")] | UnsetType, Immutable()] = UNSET
    alg: Annotated[KeyAlgorithm | UnsetType, Immutable()] = UNSET
    subject_dn: Annotated[Annotated[str, Length(1, 256)] | UnsetType, Immutable()] = UNSET
    thumbprint_sha256: Annotated[str | UnsetType, ServerSet()] = UNSET
    pem: Annotated[Annotated[str, Length(1, 16_384)] | UnsetType, Immutable(), Secret()] = UNSET
    """Public, but not shown by Auth0 either; needed to verify what the client signs."""
    parse_expiry_from_cert: Annotated[bool | UnsetType, Immutable()] = UNSET
    expires_at: str | None = None
    created_at: Annotated[str | UnsetType, ServerSet()] = UNSET
    updated_at: Annotated[str | UnsetType, ServerSet()] = UNSET
