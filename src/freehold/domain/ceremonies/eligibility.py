"""Whether somebody may ask for an export now."""

from datetime import timedelta

from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies.people import is_sole
from freehold.domain.ceremonies.policy import Policy
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader


class NotEligible(Conflict):
    """409: the rules do not allow a request now; the message says which one and until when."""

    code = "not_eligible"


async def check_eligible(reader: Reader, tenant: TenantScope, requester: Administrator, policy: Policy) -> None:
    """Refuse a requester or a moment that the policy does not allow. Raises NotEligible."""
    now = tenant.clock.now_ms()
    if not policy.offered:
        raise NotEligible("The export ceremony is not offered on this tenant's plan.", code="not_offered")
    _check_since(now, requester.created_at_ms, policy.requester_min_age_h, "You have been an administrator", "too_new")
    changed = max(requester.totp_since_ms or 0, requester.reset_at_ms or 0)
    if changed:
        _check_since(now, changed, policy.cool_down_h, "Your factors or password were set anew", "factors_too_new")
    ended = await reader.one(
        """select max(state_since_ms) from ceremonies
        where tenant_id = :tenant_id and artefact <> ''""",
        tenant_id=tenant.id,
    )
    if ended is not None and ended[0] is not None:
        _check_since(now, ended[0], policy.cool_down_h, "The last export ended", "cool_down")
    if not policy.sole_administrator and await is_sole(reader, tenant, requester):
        raise NotEligible(
            "An export needs a second administrator with all rights who confirms it. Invite one.",
            code="sole_administrator",
        )


def _check_since(now: int, since: int, hours: float, what: str, code: str) -> None:
    allowed = since + int(timedelta(hours=hours).total_seconds() * 1000)
    if now < allowed:
        raise NotEligible(f"{what} for less than {hours:g} h; it is possible from {iso(allowed)} on.", code=code)
