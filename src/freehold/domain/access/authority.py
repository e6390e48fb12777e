"""No token gives away more than it has.

A scope of the Management API is power over the tenant. Who grants one to a client, a role or a user, or takes over a
client that holds it by giving that client a new secret, must hold it already; Auth0 leaves this to the caller.
"""

from collections.abc import Iterable

from freehold.kernel.declare import Actor, TenantScope
from freehold.kernel.errors import Forbidden


def check_may_grant(actor: Actor, tenant: TenantScope, audience: str, scopes: Iterable[str]) -> None:
    """Refuse to hand out Management API scopes that the caller's token lacks. Raises Forbidden."""
    if actor.kind not in {"api", "user"} or audience != tenant.management_audience:
        return
    beyond = sorted(set(scopes) - actor.scopes)
    if beyond:
        raise Forbidden(
            f"A token cannot grant more than it holds; it lacks: {', '.join(beyond[:10])}", code="insufficient_scope"
        )
