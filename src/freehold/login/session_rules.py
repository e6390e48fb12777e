"""How long sessions last and whether they outlive the browser: the tenant's settings."""

from collections.abc import Mapping
from datetime import timedelta

from freehold.domain.sessions import Lifetimes
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store


async def session_rules(store: Store, tenant: TenantScope) -> tuple[Mapping[bool, Lifetimes], bool]:
    """The lifetimes of sessions by whether they are persistent, and whether new ones are."""
    settings = await documents.cached_singleton(store, tenant, SETTINGS)
    lifetimes = {
        True: Lifetimes(
            idle=timedelta(hours=settings.idle_session_lifetime), absolute=timedelta(hours=settings.session_lifetime)
        ),
        False: Lifetimes(
            idle=timedelta(hours=settings.idle_ephemeral_session_lifetime),
            absolute=timedelta(hours=settings.ephemeral_session_lifetime),
        ),
    }
    return lifetimes, not settings.session_cookie or settings.session_cookie.mode == "persistent"
