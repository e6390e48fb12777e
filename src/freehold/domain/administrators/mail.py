"""Mails to administrators: links they need, and notices of what they should know of.

Whoever asks for a new password learns nothing from the answer or its time: whether there is such an administrator is
found out in a job.
"""

from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.administrators.links import issue_password_link, password_url
from freehold.domain.administrators.people import Administrator, find_by_email
from freehold.domain.administrators.records import note, signing_in_as
from freehold.domain.messaging import outbox
from freehold.domain.messaging.templates import default_template, render
from freehold.domain.protection import take_place
from freehold.domain.protection.brute_force import network_of
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.jobs import Job
from freehold.kernel.store import Transaction

TOPIC_FORGOTTEN = "administrators.forgotten_password"
MOST_MAILS = 5
MOST_ASKED = 30
MAILS_WITHIN = timedelta(hours=1)


class Forgotten(msgspec.Struct, kw_only=True):
    """Somebody asked for a new password; whether there is such an administrator is found out later."""

    email: str
    ip: str = ""
    user_agent: str = ""


async def send(
    tx: Transaction, tenant: TenantScope, template: str, email: str, *, url: str = "", **variables: Any
) -> None:
    """Write a mail to an administrator's address and hand it over for delivery, with what causes it."""
    settings: Any = await documents.singleton(tx, tenant, SETTINGS)
    friendly = settings.friendly_name if isinstance(settings.friendly_name, str) else ""
    language = settings.enabled_locales[0] if isinstance(settings.enabled_locales, list) else "en"
    values = {
        "email": email,
        "tenant": tenant.name,
        "friendly_name": friendly or tenant.name,
        "support_email": settings.support_email if isinstance(settings.support_email, str) else "",
        "support_url": settings.support_url if isinstance(settings.support_url, str) else "",
        "host": tenant.domain,
        "url": url or f"{tenant.issuer}admin",
        "at": tenant.clock.now().strftime("%Y-%m-%d %H:%M UTC"),
        **variables,
    }
    mail = render(default_template(template, language), values, now=tenant.clock.now())
    await outbox.deliver(
        tx, tenant, recipient=email, template=template, subject=mail.subject, html=mail.html, body=mail.text
    )


async def ask_for_password(tx: Transaction, tenant: TenantScope, *, email: str, ip: str, user_agent: str) -> None:
    """Note that somebody wants a new password for this address; nothing is noted when a network asks all the time."""
    network = network_of(ip)
    if not await take_place(tx, tenant, "admin reset asked", network, limit=MOST_ASKED, lasts=MAILS_WITHIN):
        return
    asked = Forgotten(email=email[:320], ip=ip, user_agent=user_agent[:400])
    await tx.enqueue(TOPIC_FORGOTTEN, tenant.id, msgspec.json.encode(asked))


async def answer_forgotten(job: Job) -> None:
    """Mail the link when the address is an administrator's; say nothing otherwise."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    asked = msgspec.json.decode(job.payload, type=Forgotten)
    async with job.services.store.transaction() as tx:
        person = await find_by_email(tx, tenant, asked.email)
        who = signing_in_as(person, email=asked.email, ip=asked.ip, user_agent=asked.user_agent)
        subject = canonical_email(asked.email)[:320]
        if person is None or person.blocked:
            await note(tx, tenant, "administrator.password_asked", who, mailed=False)
        elif await take_place(tx, tenant, "admin reset mail", subject, limit=MOST_MAILS, lasts=MAILS_WITHIN):
            _, value = await issue_password_link(tx, tenant, person, issued_by=person.id)
            await send(tx, tenant, "admin_new_password", person.email, url=password_url(tenant, value))
            await note(tx, tenant, "administrator.password_asked", who, mailed=True)
        else:
            await note(tx, tenant, "administrator.password_asked", who, mailed=False, reason="too many mails")
        await job.finish(tx)


async def notify(tx: Transaction, tenant: TenantScope, person: Administrator, notice: str, **variables: Any) -> None:
    """Tell somebody what happened to their account; `notice` is a template without its `admin_`."""
    await send(tx, tenant, f"admin_{notice}", person.email, **variables)
