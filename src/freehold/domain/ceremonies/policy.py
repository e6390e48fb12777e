"""The operator's policy: what a ceremony demands, as it was when it was requested, and what of it is relaxed.

Only the operator's configuration changes it. A snapshot is part of the request, so whoever signs it has read it; when
the policy becomes stricter meanwhile, the stricter one of the two holds.
"""

from typing import Any, Literal, get_args

import msgspec

from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope

Reason = Literal["sole_administrator", "new_key", "new_approver", "always"]
Scan = Literal["never", "without_private_keys", "always"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a ceremony demands. The defaults are the strict ones."""

    offered: bool = True
    plan: str = "default"
    threshold: int = 1
    second_person_min_age_h: float = 72
    requester_min_age_h: float = 168
    executive_min_age_h: float = 72
    cool_down_h: float = 24
    waiting_h: float = 72
    waiting_for: tuple[Reason, ...] = ("new_approver", "new_key", "sole_administrator")
    sole_administrator: bool = False
    allow_scan: Scan = "never"
    allow_modern_keys: bool = False
    strict_roles: bool = True
    passkeys_only: bool = False
    manual_review: bool = False
    retention_days: int = 7
    download_limit: int = 3
    remove_after_download: bool = False
    sign_exports: bool = False
    time_stamps: bool = False

    @property
    def relaxed(self) -> list[str]:
        """The names of what is laxer here than by default."""
        return [name for name, stricter in _STRICTER.items() if stricter(getattr(self, name), getattr(STRICT, name))
                != getattr(self, name)]  # fmt: skip

    @property
    def snapshot(self) -> dict[str, Any]:
        """The policy as requests and receipts hold it."""
        return {**msgspec.json.decode(msgspec.json.encode(self)), "relaxed": self.relaxed}

    @property
    def key_policy(self) -> KeyPolicy:
        """What it says of recipients' keys."""
        return KeyPolicy(allow_modern=self.allow_modern_keys)


def _lesser(one: Any, other: Any) -> Any:
    return min(one, other)


def _greater(one: Any, other: Any) -> Any:
    return max(one, other)


def _union(one: Any, other: Any) -> Any:
    return tuple(sorted({*one, *other}))


def _narrower(one: Any, other: Any) -> Any:
    return min(one, other, key=get_args(Scan).index)


# Of two values of a setting, the stricter one.
_STRICTER = {
    "offered": _lesser,
    "threshold": _greater,
    "second_person_min_age_h": _greater,
    "requester_min_age_h": _greater,
    "executive_min_age_h": _greater,
    "cool_down_h": _greater,
    "waiting_h": _greater,
    "waiting_for": _union,
    "sole_administrator": _lesser,
    "allow_scan": _narrower,
    "allow_modern_keys": _lesser,
    "strict_roles": _greater,
    "passkeys_only": _greater,
    "manual_review": _greater,
    "retention_days": _lesser,
    "download_limit": _lesser,
    "remove_after_download": _greater,
    "sign_exports": _greater,
    "time_stamps": _greater,
}
STRICT = Policy()


def policy_of(settings: Settings, tenant: TenantScope) -> Policy:
    """The policy in force for a tenant."""
    plans = dict(entry.partition(":")[::2] for entry in settings.ceremony_plans)
    plan = plans.get(tenant.name, "default")
    return Policy(
        offered=(
            tenant.name not in settings.ceremony_locked
            and ("*" in settings.ceremony_offered or plan in settings.ceremony_offered)
        ),
        plan=plan,
        waiting_for=tuple(sorted(set(settings.ceremony_waiting_for))),
        time_stamps=bool(settings.ceremony_timestamp_url),
        **{
            name: getattr(settings, f"ceremony_{name}")
            for name in Policy.__struct_fields__
            if name not in {"offered", "plan", "waiting_for", "time_stamps"}
        },
    )


def policy_in_force(settings: Settings, tenant: TenantScope, snapshot: dict[str, Any]) -> Policy:
    """What a request's ceremony demands: what it was requested under, and what has become stricter since."""
    return stricter(from_snapshot(snapshot), policy_of(settings, tenant))


def from_snapshot(snapshot: dict[str, Any]) -> Policy:
    """The policy that a request was made under."""
    return msgspec.convert({name: value for name, value in snapshot.items() if name != "relaxed"}, Policy)


def stricter(one: Policy, other: Policy) -> Policy:
    """The policy that demands what either of the two demands."""
    return msgspec.structs.replace(
        one, **{name: choose(getattr(one, name), getattr(other, name)) for name, choose in _STRICTER.items()}
    )
