"""Mail that an action of the tenant's sends (`custom-email-provider`), where the provider is called `custom`.

Mail to administrators and to those who sign for exports is none of its business: their links open more than accounts.
"""

from typing import Any, Literal

from freehold.domain.extensions import notices
from freehold.domain.messaging.outbox import DeliveredMail
from freehold.domain.messaging.provider import EMAIL_PROVIDER
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import USERS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Store

_NOT_FOR_CODE = ("admin_", "executive_")
_TOLD = (
    "user_id", "email", "email_verified", "username", "name", "nickname", "given_name", "family_name", "picture",
    "user_metadata", "app_metadata",
)  # fmt: skip


async def is_for_action(store: Store, tenant: TenantScope, mail: DeliveredMail) -> bool:
    """Whether the tenant chose an action for its mail, has one, and the mail is one for its users."""
    if mail.template.startswith(_NOT_FOR_CODE):
        return False
    provider = await documents.singleton(store, tenant, EMAIL_PROVIDER)
    return (
        provider.name == "custom" and provider.enabled and await notices.has_action(store, tenant, notices.EMAIL)
    )  # fmt: skip


async def send_mail_by_action(
    services: Any, tenant: TenantScope, mail: DeliveredMail
) -> tuple[Literal["sent", "drop", "retry"], str]:
    """Hand a mail to the action: what became of it, and why."""
    provider = await documents.singleton(services.store, tenant, EMAIL_PROVIDER)
    settings = await documents.singleton(services.store, tenant, SETTINGS)
    sender = provider.default_from_address
    found = await documents.select(services.store, tenant, USERS, email=mail.recipient.lower())
    known = found[0].document if found else {"email": mail.recipient, "email_verified": False, "user_id": ""}
    notification = {
        "message_type": mail.template, "to": mail.recipient, "subject": mail.subject, "html": mail.html,
        "text": mail.body, "from": sender if isinstance(sender, str) else f"no-reply@{tenant.domain.partition(':')[0]}",
        "locale": settings.enabled_locales[0] if isinstance(settings.enabled_locales, list) else "en",
    }  # fmt: skip
    user = {name: known[name] for name in _TOLD if known.get(name) is not None}
    empty: dict[str, Any] = {"user_metadata": {}, "app_metadata": {}}
    return await notices.send_by_action(
        services, tenant, notification=notification, user={**empty, **user}, hidden=[mail.html, mail.body]
    )
