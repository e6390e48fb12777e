"""What a sign-in must have shown before anything is issued for it, and whether a session has shown it.

Asked where tokens are made, not only where pages are shown. For a tenant without policies the answer costs one look
into the cache.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from freehold.domain.authenticators.policies import MULTI_FACTOR, is_required
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

MFA, REMEMBERED = "mfa", "remembered-browser"
"""Names among a session's methods: a second factor was shown, or was not asked for on a browser that is remembered."""


class Demand(msgspec.Struct, frozen=True):
    """Whether a second factor is needed, and whether a remembered browser can stand in for it."""

    needed: bool = False
    fresh: bool = False
    """The application asks for a second factor itself, and wants one to have been shown."""

    def is_met(self, methods: Iterable[Mapping[str, Any]]) -> bool:
        """Whether a session with these methods is enough."""
        if not self.needed:
            return True
        names = {method.get("name") for method in methods}
        return MFA in names or (not self.fresh and REMEMBERED in names)


NOTHING = Demand()


async def demand_for(
    store: Store, tenant: TenantScope, user_id: str, *, acr_values: str | None, audience: str | None
) -> Demand:
    """What the tenant's policies and the request ask of this user's sign-in."""
    step_up = acr_values is not None and MULTI_FACTOR in acr_values.split()
    own_factors = audience == mfa_audience(tenant)
    if not await is_required(store, tenant, user_id, step_up=step_up, own_factors=own_factors):
        return NOTHING
    return Demand(needed=True, fresh=step_up or own_factors)


def mfa_audience(tenant: TenantScope) -> str:
    """The identifier of the API with which users change their own factors."""
    return f"{tenant.issuer}mfa/"
