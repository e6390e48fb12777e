"""`api.authentication.setPrimaryUser` and `context.primaryUser`: the sign-in goes on as another user.

Code that links accounts while somebody signs in says so with it: the identity they signed in with may have become one
of another user's. It has to be one of theirs, and what is asked of them has to have been shown, or nothing is issued.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from freehold.domain.authenticators import demand_for
from freehold.domain.extensions.post_login import Verdict
from freehold.domain.users import Profile, find_profile
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store
from freehold.protocols.oauth.errors import CodeRefused

NOT_THEIRS = "The primary user has not got the identity that was used to sign in."


async def primary_of(
    store: Store, tenant: TenantScope, user: Profile, verdict: Verdict | None, *,
    methods: Iterable[Mapping[str, Any]], audience: str | None,
) -> Profile | None:  # fmt: skip
    """The user in whose name the sign-in goes on; None where it is the one who signed in. Raises CodeRefused."""
    if verdict is None or verdict.primary_user in {None, user.user_id}:
        return None
    primary = await find_profile(store, tenant, str(verdict.primary_user))
    if primary is None or all(identity.id != user.user_id for identity in primary.identities):
        raise CodeRefused("access_denied", NOT_THEIRS)
    if primary.blocked:
        raise CodeRefused("unauthorized", "user is blocked")
    demand = await demand_for(store, tenant, primary.user_id, acr_values=None, audience=audience)
    if not demand.is_met(methods):
        raise CodeRefused("interaction_required", "The primary user has to show a second factor.")
    return primary
