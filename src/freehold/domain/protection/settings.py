"""`attack-protection/*`: what a tenant does against guessing (Auth0: "Attack Protection").

Brute-force protection counts the failures of one account, suspicious IP throttling those of one address over all
accounts. The settings of breached-password and bot detection are kept and come back; nothing acts on them here.
Defaults are those of a new Auth0 tenant.
"""

from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal

import msgspec

from freehold.kernel.declare import Document, Merge, Part, Range, Scopes, Singleton, TenantScope, documents
from freehold.kernel.declare.scope import Change
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.store import Store

_SCOPES = Scopes(("read:attack_protection",), (), ("update:attack_protection",))
Frequency = Literal["immediately", "daily", "weekly", "monthly"]
Policy = Literal["never", "when_risky", "always"]


class BruteForce(Document, kw_only=True):
    """How many failures block an account, and for whom."""

    enabled: bool = True
    shields: list[Literal["block", "user_notification"]] = msgspec.field(
        default_factory=lambda: ["block", "user_notification"]
    )
    mode: Literal["count_per_identifier_and_ip", "count_per_identifier"] = "count_per_identifier_and_ip"
    allowlist: list[str] = []
    max_attempts: Annotated[int, Range(1, 100)] = 10


class FailedLogins(Part):
    """How many failures an address has, and after how many milliseconds it gains one again."""

    max_attempts: Annotated[int, Range(1, 2500)] = 100
    rate: Annotated[int, Range(34_560, 86_400_000)] = 864_000


class SignUps(Part):
    """How many sign-ups an address has, and after how many milliseconds it gains one again."""

    max_attempts: Annotated[int, Range(1, 72_000)] = 50
    rate: Annotated[int, Range(1200, 86_400_000)] = 1200


class TokenExchanges(Part):
    """How many token exchanges an address has. Kept; nothing acts on it here."""

    max_attempts: Annotated[int, Range(1, 72_000)] = 10
    rate: Annotated[int, Range(1200, 86_400_000)] = 600_000


class Stages(Part):
    """Where addresses are throttled."""

    pre_login: FailedLogins = msgspec.field(name="pre-login", default_factory=FailedLogins)
    pre_user_registration: SignUps = msgspec.field(name="pre-user-registration", default_factory=SignUps)
    pre_custom_token_exchange: TokenExchanges = msgspec.field(
        name="pre-custom-token-exchange", default_factory=TokenExchanges
    )


class SuspiciousAddresses(Document, kw_only=True):
    """How much one address may try over all accounts."""

    enabled: bool = True
    shields: list[Literal["block", "admin_notification"]] = msgspec.field(
        default_factory=lambda: ["admin_notification", "block"]
    )
    allowlist: list[str] = []
    stage: Annotated[Stages, Merge()] = msgspec.field(default_factory=Stages)


class Shields(Part):
    """What happens at one stage."""

    shields: list[Literal["block", "admin_notification"]] = []


class BreachStages(Part):
    """Where else breached passwords are looked for."""

    registration: Shields = msgspec.field(name="pre-user-registration", default_factory=Shields)
    change: Shields = msgspec.field(name="pre-change-password", default_factory=Shields)


class BreachedPasswords(Document, kw_only=True):
    """What is done about passwords that are known to attackers. Kept; nothing acts on it here."""

    enabled: bool = False
    shields: list[Literal["block", "user_notification", "admin_notification"]] = []
    admin_notification_frequency: list[Frequency] = []
    method: Literal["standard", "enhanced"] = "standard"
    stage: Annotated[BreachStages, Merge()] = msgspec.field(default_factory=BreachStages)


class Bots(Document, kw_only=True):
    """When somebody has to show that they are no machine. Kept; nothing acts on it here."""

    challenge_password_policy: Policy = "never"  # noqa: S105 - when to challenge
    challenge_passwordless_policy: Policy = "never"
    challenge_password_reset_policy: Policy = "never"  # noqa: S105
    allowlist: list[str] = []
    bot_detection_level: Literal["low", "medium", "high"] = "medium"
    monitoring_mode_enabled: bool = False


async def _check_allowlist(change: Change) -> None:
    for index, entry in enumerate(change.document.allowlist):
        try:
            ip_network(entry, strict=False)
        except ValueError:
            raise InvalidBody(
                "Payload validation error: 'Data does not match any schemas from 'anyOf'' "
                f"on property allowlist[{index}]."
            ) from None


def _settings(document: type[Any], path: str, table: str, audit: str, *, has_allowlist: bool = True) -> Singleton[Any]:
    return Singleton(
        document=document,
        path=f"attack-protection/{path}",
        scopes=_SCOPES,
        table=table,
        check=_check_allowlist if has_allowlist else None,
        audit=audit,
    )


BRUTE_FORCE = _settings(BruteForce, "brute-force-protection", "brute_force_protection", "brute-force protection")
SUSPICIOUS_ADDRESSES = _settings(
    SuspiciousAddresses, "suspicious-ip-throttling", "suspicious_ip_throttling", "suspicious IP throttling"
)
BREACHED_PASSWORDS = _settings(
    BreachedPasswords, "breached-password-detection", "breached_password_detection", "breached-password detection",
    has_allowlist=False,
)  # fmt: skip
BOTS = _settings(Bots, "bot-detection", "bot_detection", "bot detection")


PROTECTIONS = {
    declaration.path.removeprefix("attack-protection/"): declaration
    for declaration in (BRUTE_FORCE, SUSPICIOUS_ADDRESSES, BREACHED_PASSWORDS, BOTS)
}
"""By the last part of their path, which is also their file's name in a directory of the deploy CLI."""


class AccountLimit(msgspec.Struct, frozen=True):
    """How often one account may fail."""

    failures: int = 10
    by_address: bool = True
    blocks: bool = True
    tells: bool = True


async def account_limit(store: Store, tenant: TenantScope, ip: str) -> AccountLimit | None:
    """What applies to an account that is tried from this address; None where nothing is counted."""
    rules: BruteForce = await documents.cached_singleton(store, tenant, BRUTE_FORCE)
    if not rules.enabled or not rules.shields or is_listed(rules.allowlist, ip):
        return None
    return AccountLimit(
        failures=rules.max_attempts,
        by_address=rules.mode == "count_per_identifier_and_ip",
        blocks="block" in rules.shields,
        tells="user_notification" in rules.shields,
    )


class AddressLimit(msgspec.Struct, frozen=True):
    """How much one address may try: so much at once, and one more after each `rate_ms`."""

    attempts: int
    rate_ms: int
    blocks: bool


async def address_limit(
    store: Store, tenant: TenantScope, ip: str, stage: Literal["pre_login", "pre_user_registration"]
) -> AddressLimit | None:
    """What applies to this address; None where it is not throttled."""
    rules: SuspiciousAddresses = await documents.cached_singleton(store, tenant, SUSPICIOUS_ADDRESSES)
    if not rules.enabled or not rules.shields or is_listed(rules.allowlist, ip):
        return None
    chosen = getattr(rules.stage, stage)
    return AddressLimit(chosen.max_attempts, chosen.rate, "block" in rules.shields)


def is_listed(allowlist: list[str], ip: str) -> bool:
    """Whether an address is among addresses and networks."""
    if not allowlist:
        return False
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(entry, strict=False) for entry in allowlist)
