"""What an application has that nobody gave it, as recorded."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from freehold.domain.applications.documents import (
    AuthenticationMethods,
    Client,
    CredentialUse,
    JwtConfiguration,
    OidcLogout,
    RefreshTokenConfiguration,
)

ALL_GRANTS: tuple[str, ...] = ("authorization_code", "implicit", "refresh_token", "client_credentials")
EXPRESS_GRANTS = ("authorization_code", "client_credentials")
PUBLIC_GRANTS = ("authorization_code", "implicit", "refresh_token")
ID_TOKEN_LIFETIME_S = 36_000
REFRESH_TOKEN_LIFETIME_S = 2_592_000
REFRESH_TOKEN_IDLE_LIFETIME_S = 1_296_000
OIN_CALLBACK = "https://system-admin.okta.com/admin/app/generic/oauth20redirect"


def fill_new(client: Client, given: Mapping[str, Any]) -> None:
    """Give a new application what depends on its kind; `given` tells an empty list of grants from none."""
    keyed = bool(client.client_authentication_methods)
    if client.app_type in {"native", "spa"} and not keyed and "token_endpoint_auth_method" not in given:
        client.token_endpoint_auth_method = "none"  # noqa: S105 - a method's name
    grants = PUBLIC_GRANTS if is_public(client) else ALL_GRANTS
    if client.app_type == "express_configuration":
        _fill_express(client)
        grants = EXPRESS_GRANTS
    elif client.app_type == "resource_server":
        client.oidc_conformant = True
        grants = ()
        if client.jwt_configuration is UNSET:
            client.jwt_configuration = JwtConfiguration(alg="RS256")
    if "grant_types" not in given:
        client.grant_types = list(grants)
    if client.jwt_configuration is UNSET:
        client.jwt_configuration = JwtConfiguration(lifetime_in_seconds=ID_TOKEN_LIFETIME_S)
    if client.async_approval_notification_channels is UNSET:
        client.async_approval_notification_channels = ["guardian-push"]


def fill_parts(client: Client) -> None:
    """Complete the parts that a write replaces as a whole."""
    if client.jwt_configuration is not UNSET and client.jwt_configuration.secret_encoded is UNSET:
        client.jwt_configuration.secret_encoded = False
    if client.refresh_token is UNSET or client.refresh_token is None:
        client.refresh_token = RefreshTokenConfiguration(rotation_type="non-rotating", expiration_type="non-expiring")
    tokens, endless = client.refresh_token, client.refresh_token.expiration_type == "non-expiring"
    if tokens.leeway is UNSET:
        tokens.leeway = 0
    if tokens.token_lifetime is UNSET:
        tokens.token_lifetime = REFRESH_TOKEN_LIFETIME_S
    if tokens.idle_token_lifetime is UNSET:
        tokens.idle_token_lifetime = REFRESH_TOKEN_IDLE_LIFETIME_S
    if tokens.infinite_token_lifetime is UNSET:
        tokens.infinite_token_lifetime = endless
    if tokens.infinite_idle_token_lifetime is UNSET:
        tokens.infinite_idle_token_lifetime = endless
    if tokens.policies is None:
        tokens.policies = UNSET
    # Auth0 keeps the member's older name beside it, with the URLs alone.
    if client.oidc_logout is not UNSET:
        urls = client.oidc_logout.backchannel_logout_urls
        client.oidc_backchannel_logout = OidcLogout(backchannel_logout_urls=[] if urls is UNSET else urls)
    client.cross_origin_auth = client.cross_origin_authentication


def is_public(client: Client) -> bool:
    """Whether the application cannot keep a secret (RFC 6749 section 2.1)."""
    return client.token_endpoint_auth_method == "none"  # noqa: S105 - a method's name


def _fill_express(client: Client) -> None:
    client.oidc_conformant = True
    if client.callbacks is UNSET:
        client.callbacks = [OIN_CALLBACK]
    if client.jwt_configuration is UNSET:
        client.jwt_configuration = JwtConfiguration(alg="RS256")
    if client.organization_usage is UNSET:
        client.organization_usage = "require"
    if client.organization_require_behavior is UNSET:
        client.organization_require_behavior = "pre_login_prompt"
    if client.client_authentication_methods is UNSET:
        client.client_authentication_methods = AuthenticationMethods(private_key_jwt=CredentialUse(credentials=[]))
