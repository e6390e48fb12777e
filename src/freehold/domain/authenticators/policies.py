"""When a second factor is asked for, and everything else a tenant chooses about factors: Auth0's `/guardian/*`.

The policies are Auth0's: `all-applications` asks everybody, `confidence-score` those who have a factor (this server
does not guess how sure it is, so it is never sure), none asks nobody. An application can ask for more by `acr_values`
(`http://schemas.openid.net/pape/policies/2007/06/multi-factor`), and the MFA API's own audience does so for users who
have a factor: otherwise a password alone would be enough to put another factor in its place.

As long as no factor at all is enabled there is nothing to ask for, as at Auth0. Where factors are enabled but none that
this server can ask for, a required second factor is refused rather than left out.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType, field

from freehold.domain.authenticators.authenticators import Factors, factors_of
from freehold.kernel.declare import (
    Document,
    Range,
    Scopes,
    Sealed,
    Secret,
    ServerSet,
    Singleton,
    TenantScope,
    documents,
)
from freehold.kernel.store import Store

MULTI_FACTOR = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"
FACTORS = (
    "sms", "push-notification", "otp", "email", "duo", "webauthn-roaming", "webauthn-platform", "recovery-code",
)  # fmt: skip
Policy = Literal["all-applications", "confidence-score"]
HOUR_S, DAY_S = 3_600, 86_400
_READ, _UPDATE = ("read:guardian_factors",), ("update:guardian_factors",)


class Guardian(Document):
    """What a tenant has chosen about second factors; the operations beside this module show and change it in parts."""

    factors: Annotated[dict[str, bool], ServerSet()] = field(default_factory=dict)
    policies: Annotated[list[Policy], ServerSet()] = field(default_factory=list)
    display_remember_me_checkbox: bool = True
    remember_me_default_value: bool = False
    mfa_session_inactivity_timeout: Annotated[int, Range(HOUR_S, 30 * DAY_S)] = 30 * DAY_S
    mfa_session_overall_timeout: Annotated[int, Range(HOUR_S, 90 * DAY_S)] = 30 * DAY_S
    providers: Annotated[dict[str, Any], ServerSet()] = field(default_factory=dict)
    """Settings by the path under which they are shown, without what is secret in them."""
    twilio_auth_token: Annotated[str | UnsetType, ServerSet(), Secret(_READ)] = UNSET
    duo_skey: Annotated[str | UnsetType, ServerSet(), Secret(_READ)] = UNSET
    sns_secret: Annotated[str | UnsetType | None, ServerSet(), Sealed("write_only_secrets")] = UNSET
    apns_p12: Annotated[str | UnsetType | None, ServerSet(), Sealed("write_only_secrets")] = UNSET
    fcm_server_key: Annotated[str | UnsetType | None, ServerSet(), Sealed("write_only_secrets")] = UNSET
    fcmv1_server_credentials: Annotated[str | UnsetType | None, ServerSet(), Sealed("write_only_secrets")] = UNSET

    @property
    def is_on(self) -> bool:
        """Whether there is any second factor to ask for."""
        return any(self.factors.get(name) for name in FACTORS if name != "recovery-code")

    @property
    def offers_totp(self) -> bool:
        """Whether users may enrol an authenticator app."""
        return self.factors.get("otp", False)

    @property
    def offers_recovery(self) -> bool:
        """Whether there are recovery codes."""
        return self.factors.get("recovery-code", False)


async def _hide(call: Any) -> Mapping[str, Any]:
    """GET guardian/settings: the part of the document that is edited as a whole."""
    return shown_settings(await documents.singleton(call.store, call.tenant, GUARDIAN))


def shown_settings(guardian: Guardian) -> dict[str, Any]:
    """What `guardian/settings` shows."""
    return {
        "display_remember_me_checkbox": guardian.display_remember_me_checkbox,
        "remember_me_default_value": guardian.remember_me_default_value,
        "mfa_session_inactivity_timeout": guardian.mfa_session_inactivity_timeout,
        "mfa_session_overall_timeout": guardian.mfa_session_overall_timeout,
    }


GUARDIAN: Singleton[Guardian] = Singleton(
    document=Guardian,
    path="guardian/settings",
    scopes=Scopes(_READ, (), _UPDATE),
    table="guardian",
    update_method="",
    overrides={"get": _hide},
    audit="guardian settings",
)


class Unmet(Exception):
    """A second factor is required, and this user has no way to show one here."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def guardian_of(store: Store, tenant: TenantScope) -> Guardian:
    """The tenant's choices, from the cache."""
    return await documents.cached_singleton(store, tenant, GUARDIAN)


async def is_required(
    store: Store, tenant: TenantScope, user_id: str, *, step_up: bool = False, own_factors: bool = False
) -> bool:
    """Whether this user has to show a second factor.

    `step_up`: the application asks for one by `acr_values`. `own_factors`: the token is for the MFA API.
    """
    guardian = await guardian_of(store, tenant)
    if step_up:
        return True
    if not own_factors and (not guardian.policies or not guardian.is_on):
        return False
    if "all-applications" in guardian.policies and guardian.is_on:
        return True
    return (await factors_of(store, tenant, user_id)).enrolled


def check_possible(guardian: Guardian, known: Factors) -> None:
    """Check that the user can show a factor here, or enrol one. Raises Unmet.

    Whoever has a factor that this server cannot ask for (a phone number, say) may not simply enrol another: whoever
    stole the password could do that too. An administrator resets them or sends them an enrolment ticket.
    """
    if known.totp:
        return
    if known.enrolled:
        raise Unmet("The user's second factor cannot be used on this server. An administrator can reset it.")
    if not guardian.offers_totp:
        raise Unmet("A second factor is required, and none that this server offers is enabled.")
