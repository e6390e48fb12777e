"""Tenant settings: one document per tenant, with what a new tenant has until it is changed.

Session lifetimes are in hours, as Auth0 shows them; a request may give minutes, and then a fraction is shown
(recorded).
Members that only a request has (`..._in_minutes`) are turned into those when they are written.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType, field

from freehold.kernel.declare import (
    Change,
    Computed,
    Document,
    Length,
    Merge,
    Part,
    Pattern,
    Range,
    Scopes,
    Singleton,
    TenantScope,
    nulls,
)
from freehold.kernel.declare.formats import check_format
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Reader

SANDBOX_VERSIONS = ["22", "18"]
MINUTES_PER_HOUR = 60
MAX_QUOTA = 2_147_483_647

Locale = Literal[
    "am", "ar", "ar-EG", "ar-SA", "az", "bg", "bn", "bs", "ca-ES", "cnr", "cs", "cy", "da", "de", "el", "en", "en-CA",
    "es", "es-419", "es-AR", "es-MX", "et", "eu-ES", "fa", "fi", "fr", "fr-CA", "fr-FR", "gl-ES", "gu", "he", "hi",
    "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "kk", "kn", "ko", "lt", "lv", "mk", "ml", "mn", "mr", "ms", "my",
    "nb", "nl", "nn", "no", "pa", "pl", "pt", "pt-BR", "pt-PT", "ro", "ru", "sk", "sl", "so", "sq", "sr", "sv", "sw",
    "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "zgh", "zh-CN", "zh-HK", "zh-MO", "zh-TW",
]  # fmt: skip
Flag = Literal[
    "allow_changing_enable_sso", "allow_legacy_delegation_grant_types", "allow_legacy_ro_grant_types",
    "allow_legacy_tokeninfo_endpoint", "allow_other_legacy_grant_types",
    "cannot_change_enforce_client_authentication_on_passwordless_start", "change_pwd_flow_v1",
    "custom_domains_provisioning", "dashboard_insights_view", "dashboard_log_streams_next",
    "disable_clickjack_protection_headers", "disable_fields_map_fix", "disable_impersonation",
    "disable_management_api_sms_obfuscation", "enable_adfs_waad_email_verification", "enable_apis_section",
    "enable_client_connections", "enable_custom_domain_in_emails", "enable_dynamic_client_registration",
    "enable_idtoken_api2", "enable_legacy_logs_search_v2", "enable_legacy_profile", "enable_pipeline2",
    "enable_public_signup_user_exists_error", "enable_sso", "enforce_client_authentication_on_passwordless_start",
    "genai_trial", "improved_signup_bot_detection_in_classic", "mfa_show_factor_list_on_enrollment",
    "new_universal_login_experience_enabled", "no_disclose_enterprise_connections", "remove_alg_from_jwks",
    "revoke_refresh_token_grant", "trust_azure_adfs_email_verified_connection_property", "universal_login",
    "use_scope_descriptions_for_consent",
]  # fmt: skip
ON_FROM_THE_START = frozenset(
    {
        "cannot_change_enforce_client_authentication_on_passwordless_start",
        "disable_impersonation",
        "enable_client_connections",
        "enable_public_signup_user_exists_error",
        "enable_sso",
        "enforce_client_authentication_on_passwordless_start",
        "new_universal_login_experience_enabled",
        "universal_login",
    }
)
SHOWN_FROM_THE_START = (
    "allow_changing_enable_sso", "allow_legacy_delegation_grant_types", "allow_legacy_ro_grant_types",
    "allow_other_legacy_grant_types", "cannot_change_enforce_client_authentication_on_passwordless_start",
    "change_pwd_flow_v1", "disable_clickjack_protection_headers", "disable_impersonation", "enable_apis_section",
    "enable_client_connections", "enable_custom_domain_in_emails", "enable_dynamic_client_registration",
    "enable_legacy_logs_search_v2", "enable_pipeline2", "enable_public_signup_user_exists_error", "enable_sso",
    "enforce_client_authentication_on_passwordless_start", "mfa_show_factor_list_on_enrollment",
    "new_universal_login_experience_enabled", "remove_alg_from_jwks", "revoke_refresh_token_grant", "universal_login",
    "use_scope_descriptions_for_consent",
)  # fmt: skip
# The legacy grants are off, unlike in tenants of 2017 that the recordings come from: nobody here has used them yet.
DEFAULT_FLAGS: dict[Any, bool] = {name: name in ON_FROM_THE_START for name in SHOWN_FROM_THE_START}

# What a request may give in minutes, and the member that holds it in hours.
IN_MINUTES = {
    "session_lifetime_in_minutes": "session_lifetime",
    "idle_session_lifetime_in_minutes": "idle_session_lifetime",
    "ephemeral_session_lifetime_in_minutes": "ephemeral_session_lifetime",
    "idle_ephemeral_session_lifetime_in_minutes": "idle_ephemeral_session_lifetime",
}
_URLS = {
    "picture_url": "absolute-uri-or-empty",
    "support_url": "absolute-uri-or-empty",
    "default_redirection_uri": "absolute-https-uri-or-empty",
    "support_email": "email-or-empty",
    "allowed_logout_urls": "url-with-placeholders",
}

Hours = Annotated[int, Range(1, 876_000)] | Annotated[float, Range(0.01, 876_000)]
Minutes = Annotated[int, Range(1, 52_560_000)]
Page = Annotated[str, Length(0, 500_000)]


class CustomPage(Part):
    """A page of the classic login that the customer wrote."""

    enabled: bool = False
    html: Page = ""


class ErrorPage(Part):
    """Where errors of the login are shown."""

    html: Page | UnsetType = UNSET
    show_log_link: bool | UnsetType = UNSET
    url: str | UnsetType = UNSET


class DeviceFlow(Part):
    """How user codes of the device flow look (RFC 8628 section 6.1)."""

    charset: Literal["base20", "digits"] | UnsetType = UNSET
    mask: Annotated[str, Length(1, 20), Pattern(r"^[*\- ]+$")] | UnsetType = UNSET


class ClientCredentialsQuota(Part):
    """How many tokens may be issued."""

    enforce: bool | UnsetType = UNSET
    per_day: Annotated[int, Range(1, MAX_QUOTA)] | UnsetType = UNSET
    per_hour: Annotated[int, Range(1, MAX_QUOTA)] | UnsetType = UNSET


class Quota(Part):
    """A token quota."""

    client_credentials: ClientCredentialsQuota


class DefaultTokenQuota(Part):
    """Quotas of clients and organizations that have none of their own."""

    clients: Quota | UnsetType = UNSET
    organizations: Quota | UnsetType = UNSET


class SessionCookie(Part):
    """Whether the session survives the browser."""

    mode: Literal["persistent", "non-persistent"]


class Sessions(Part):
    """The prompt at logout."""

    oidc_logout_prompt_enabled: bool = True


class OidcLogout(Part):
    """Whether discovery names the logout endpoint."""

    rp_logout_end_session_endpoint_discovery: bool = True


class Mtls(Part):
    """Endpoint aliases for mutual TLS (RFC 8705 section 5)."""

    enable_endpoint_aliases: bool = False


Countries = list[Annotated[str, Pattern("^[A-Z]{2}$")]]


class CountryCodes(Part):
    """Which countries' phone numbers are taken."""

    list: Countries | UnsetType = UNSET
    mode: Literal["allow", "deny"] | UnsetType = UNSET


async def sandbox_versions(reader: Reader, tenant: TenantScope, document: dict[str, Any]) -> list[str]:
    """The Node.js versions that custom code may choose."""
    return SANDBOX_VERSIONS


class TenantSettings(Document):
    """Settings that concern the tenant as a whole."""

    friendly_name: Annotated[str, Length(0, 255)] | UnsetType = UNSET
    picture_url: str | UnsetType = UNSET
    support_email: str | UnsetType = UNSET
    support_url: str | UnsetType = UNSET
    enabled_locales: Annotated[list[Locale], Length(1, 100)] = field(default_factory=lambda: ["en"])
    flags: Annotated[dict[Flag, bool], Merge()] = field(default_factory=DEFAULT_FLAGS.copy)
    allowed_logout_urls: list[str] = []
    default_audience: Annotated[str, Length(0, 600)] = ""
    default_directory: Annotated[str, Length(0, 128)] = ""
    default_redirection_uri: str | UnsetType = UNSET
    change_password: CustomPage | UnsetType | None = field(default_factory=CustomPage)
    guardian_mfa_page: CustomPage | UnsetType | None = field(default_factory=CustomPage)
    error_page: ErrorPage | UnsetType | None = UNSET
    device_flow: DeviceFlow | UnsetType | None = field(
        default_factory=lambda: DeviceFlow(charset="base20", mask="****-****")
    )
    session_lifetime: Hours = 168
    idle_session_lifetime: Hours = 72
    ephemeral_session_lifetime: Hours = 72
    idle_ephemeral_session_lifetime: Hours = 24
    session_lifetime_in_minutes: Minutes | UnsetType = UNSET
    idle_session_lifetime_in_minutes: Minutes | UnsetType = UNSET
    ephemeral_session_lifetime_in_minutes: Minutes | UnsetType = UNSET
    idle_ephemeral_session_lifetime_in_minutes: Minutes | UnsetType = UNSET
    session_cookie: SessionCookie | UnsetType | None = field(default_factory=lambda: SessionCookie(mode="persistent"))
    sessions: Sessions | UnsetType | None = field(default_factory=Sessions)
    oidc_logout: OidcLogout = field(default_factory=OidcLogout)
    sandbox_version: Annotated[str, Length(1, 8)] = SANDBOX_VERSIONS[0]
    legacy_sandbox_version: Annotated[str, Length(0, 8)] | UnsetType = UNSET
    sandbox_versions_available: Annotated[list[str] | UnsetType, Computed(sandbox_versions)] = UNSET
    resource_parameter_profile: Literal["audience", "compatibility"] = "audience"
    client_id_metadata_document_supported: bool = False
    acr_values_supported: list[Annotated[str, Length(1, 512)]] | UnsetType | None = UNSET
    mtls: Mtls | UnsetType | None = UNSET
    default_token_quota: DefaultTokenQuota | UnsetType | None = UNSET
    customize_mfa_in_postlogin_action: bool | UnsetType | None = UNSET
    allow_organization_name_in_authentication_api: bool | UnsetType | None = UNSET
    pushed_authorization_requests_supported: bool | UnsetType | None = UNSET
    authorization_response_iss_parameter_supported: bool | UnsetType | None = UNSET
    skip_non_verifiable_callback_uri_confirmation_prompt: bool | UnsetType | None = UNSET
    universal_login: dict[str, Any] | UnsetType | None = UNSET
    security_headers: dict[str, Any] | UnsetType | None = UNSET
    country_codes: CountryCodes | UnsetType | None = UNSET
    phone_consolidated_experience: bool = False
    enable_ai_guide: bool | UnsetType = UNSET
    include_session_metadata_in_tenant_logs: bool | UnsetType = UNSET
    dynamic_client_registration_security_mode: Literal["strict", "permissive"] | UnsetType = UNSET


async def prepare(change: Change) -> None:
    """Turn minutes into hours, fill what replaced parts lack, and check what will be redirected to or shown."""
    settings: TenantSettings = change.document
    nulls.clear(settings)
    for in_minutes, in_hours in IN_MINUTES.items():
        minutes = getattr(settings, in_minutes)
        if minutes is not UNSET:
            hours = minutes / MINUTES_PER_HOUR
            setattr(settings, in_hours, int(hours) if hours.is_integer() else hours)
            setattr(settings, in_minutes, UNSET)
        elif not isinstance(change.given.get(in_hours, 1), int):
            raise InvalidBody(
                f"Payload validation error: 'Expected type integer but found type number' on property {in_hours}."
            )
    if settings.universal_login is not UNSET and settings.universal_login is not None:
        settings.universal_login.setdefault("identifier_first", True)
    settings.flags = {**DEFAULT_FLAGS, **settings.flags}
    _check_urls(settings, change.given)


def _check_urls(settings: TenantSettings, given: Any) -> None:
    for name, form in _URLS.items():
        value = getattr(settings, name) if name in given else UNSET
        if isinstance(value, str):
            check_format(form, value, name)
        elif isinstance(value, list):
            for index, url in enumerate(value):
                check_format(form, url, f"{name}[{index}]")
    if "error_page" in given and settings.error_page and settings.error_page.url is not UNSET:
        check_format("absolute-uri-or-empty", settings.error_page.url, "error_page.url")


SETTINGS = Singleton(
    document=TenantSettings,
    path="tenants/settings",
    scopes=Scopes(("read:tenant_settings",), (), ("update:tenant_settings",)),
    table="tenant_settings",
    prepare=prepare,
    audit="tenant settings",
)
