"""Sending mail: enqueued with what causes it, written and delivered by a job.

Who asks for a new password learns nothing from the answer's time, because looking the user up happens in the job.
Links lead to the tenant's own issuer and nowhere else; the host a request came in on plays no part.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain import protection
from freehold.domain.extensions.databases import ExternalUser, ScriptFailed
from freehold.domain.messaging import outbox
from freehold.domain.messaging.templates import default_template, render
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.tickets import Ticket, issue_ticket
from freehold.domain.users import (
    Database,
    attempt_subject,
    find_database,
    find_elsewhere,
    find_for_login,
)
from freehold.domain.users.profiles import database_identity
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.jobs import Job
from freehold.kernel.store import Transaction

TOPIC_MAIL = "messaging.mail"
TOPIC_RESET = "messaging.password_reset"
MOST_RESET_MAILS = 5
RESET_MAILS_WITHIN = timedelta(hours=1)
RESET_LIFETIME = timedelta(days=1)
"""Shorter than that of tickets an administrator makes: whoever asks for the mail is waiting for it."""


class MailJob(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A mail to a user, to be written."""

    template: str
    user_id: str
    client_id: str | None = None
    identity: str | None = None
    ip: str | None = None
    blocked: dict[str, str] | None = None
    """What the mail's link unblocks: connection and subject."""
    to: str | None = None
    """An address that an administrator gave in the place of the user's own."""
    enrollment: dict[str, bool] | None = None
    """What the ticket to enrol a second factor says."""
    elsewhere: dict[str, str] | None = None
    """Of a user whom only a database of the tenant's own knows: connection, and what it was asked about."""


class ResetJob(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Somebody asked for a new password; whether there is such a user is found out later."""

    connection: str
    identifier: str
    client_id: str | None = None
    ip: str = ""


class Mailer:
    """What the rest of the program asks for. Every function only enqueues, in the caller's transaction."""

    async def send_verification_email(
        self,
        tx: Transaction,
        tenant: TenantScope,
        user_id: str,
        *,
        client_id: str | None = None,
        identity: str | None = None,
    ) -> None:
        """The mail with the link that verifies the user's address."""
        job = MailJob(template="verify_email", user_id=user_id, client_id=client_id, identity=identity)
        await tx.enqueue(TOPIC_MAIL, tenant.id, msgspec.json.encode(job))

    async def send_password_changed(self, tx: Transaction, tenant: TenantScope, user_id: str) -> None:
        """The notice that the password was changed."""
        job = MailJob(template="password_changed", user_id=user_id)
        await tx.enqueue(TOPIC_MAIL, tenant.id, msgspec.json.encode(job))

    async def send_blocked_account(
        self, tx: Transaction, tenant: TenantScope, user_id: str, *, connection: str, subject: str, ip: str
    ) -> None:
        """The notice that too many tries to sign in have failed, with the link that lets one try again."""
        job = MailJob(
            template="blocked_account",
            user_id=user_id,
            ip=ip,
            blocked={"connection": connection, "subject": subject},
        )
        await tx.enqueue(TOPIC_MAIL, tenant.id, msgspec.json.encode(job))

    async def send_mfa_enrollment(
        self, tx: Transaction, tenant: TenantScope, user_id: str, *, to: str | None, ticket: dict[str, bool]
    ) -> None:
        """The mail with the link under which the user enrols a second factor."""
        job = MailJob(template="enrollment_email", user_id=user_id, to=to, enrollment=ticket)
        await tx.enqueue(TOPIC_MAIL, tenant.id, msgspec.json.encode(job))

    async def send_too_many_codes(self, tx: Transaction, tenant: TenantScope, user_id: str, *, ip: str | None) -> None:
        """The notice that somebody has the password and guesses at the second factor."""
        job = MailJob(template="too_many_codes", user_id=user_id, ip=ip)
        await tx.enqueue(TOPIC_MAIL, tenant.id, msgspec.json.encode(job))

    async def request_password_reset(
        self,
        tx: Transaction,
        tenant: TenantScope,
        *,
        connection: str,
        identifier: str,
        client_id: str | None = None,
        ip: str = "",
    ) -> None:
        """The mail with the link to set a new password, if there is such a user with a password there."""
        job = ResetJob(connection=connection, identifier=identifier[:320], client_id=client_id, ip=ip)
        await tx.enqueue(TOPIC_RESET, tenant.id, msgspec.json.encode(job))


async def write_mail(job: Job) -> None:
    """Write and deliver a mail; the ticket in it is made here and is nowhere else."""
    tenant = await _tenant(job)
    wanted = msgspec.json.decode(job.payload, type=MailJob)
    async with job.services.store.transaction() as tx:
        users = tenant.registry.collection("users")
        record = await documents.read(tx, tenant, users, wanted.user_id)
        if record is not None and (wanted.to or record.document.get("email")):
            await _write(tx, tenant, wanted, record.document)
        await job.finish(tx)


async def answer_reset(job: Job) -> None:
    """Send the reset mail when the identifier names a user of the connection; say nothing otherwise."""
    tenant = await _tenant(job)
    asked = msgspec.json.decode(job.payload, type=ResetJob)
    store = job.services.store
    database = await find_database(store, tenant, asked.connection)
    found = await find_for_login(store, tenant, database, asked.identifier) if database else None
    unknown, outside = "No such user", None
    if database is not None and database.is_custom and not (found is not None and database.keeps_passwords):
        try:
            outside = await find_elsewhere(job.services, tenant, database, asked.identifier)
        except ScriptFailed as error:
            unknown = error.message
        if outside is None and not (found is not None and "get_user" not in _scripts(database)):
            found = None
    async with store.transaction() as tx:
        if outside is not None and found is None and database is not None and outside.profile.get("email"):
            await _write_outside(tx, tenant, asked, database, outside)
        elif found is not None and found.user.email and not found.user.blocked:
            if not await _may_mail(tx, tenant, asked, attempt_subject(found, "")):
                await job.finish(tx)
                return
            users = tenant.registry.collection("users")
            record = await documents.read(tx, tenant, users, found.user.user_id)
            if record is not None:
                wanted = MailJob(
                    template="reset_email",
                    user_id=record.id,
                    client_id=asked.client_id,
                    identity=found.identity_id,
                )
                await _write(tx, tenant, wanted, record.document)
                await tenant.events.record(
                    tx, tenant, "scpr", user_id=record.id, user_name=found.user.email, connection=asked.connection,
                    client_id=asked.client_id, ip=asked.ip or None,
                )  # fmt: skip
        else:
            await tenant.events.record(
                tx, tenant, "fcpr", user_name=asked.identifier, connection=asked.connection, client_id=asked.client_id,
                ip=asked.ip or None, description=unknown,
            )  # fmt: skip
        await job.finish(tx)


def _scripts(database: Database) -> Mapping[str, Any]:
    return database.options.get("customScripts") or {}


async def _write_outside(
    tx: Transaction, tenant: TenantScope, asked: ResetJob, database: Database, outside: ExternalUser
) -> None:
    """The mail for somebody whom only a database of the tenant's own knows: nothing of them is kept here yet."""
    user_id = f"{database.provider}|{outside.id}"
    if not await _may_mail(tx, tenant, asked, attempt_subject(None, asked.identifier)):
        return
    user = {**outside.profile, "user_id": user_id, "identities": [database_identity(database.name, outside.id)]}
    wanted = MailJob(
        template="reset_email", user_id=user_id, client_id=asked.client_id, identity=user_id,
        elsewhere={"connection": database.name, "identifier": asked.identifier},
    )  # fmt: skip
    await _write(tx, tenant, wanted, user)
    await tenant.events.record(
        tx, tenant, "scpr", user_id=user_id, user_name=user["email"], connection=asked.connection,
        client_id=asked.client_id, ip=asked.ip or None,
    )  # fmt: skip


async def _may_mail(tx: Transaction, tenant: TenantScope, asked: ResetJob, subject: str) -> bool:
    """Whether a user may get one more mail to reset the password: nobody's inbox is flooded from here."""
    purpose = f"reset {asked.connection}"
    if await protection.take_place(tx, tenant, purpose, subject, limit=MOST_RESET_MAILS, lasts=RESET_MAILS_WITHIN):
        return True
    await tenant.events.record(
        tx, tenant, "fcpr", user_name=asked.identifier, connection=asked.connection, client_id=asked.client_id,
        ip=asked.ip or None, description="Too many mails",
    )  # fmt: skip
    return False


async def _write(tx: Transaction, tenant: TenantScope, wanted: MailJob, user: Mapping[str, Any]) -> None:
    settings: Any = await documents.singleton(tx, tenant, SETTINGS)
    client = None
    if wanted.client_id:
        client = await documents.read(tx, tenant, tenant.registry.collection("clients"), wanted.client_id)
    friendly = settings.friendly_name if isinstance(settings.friendly_name, str) else ""
    variables = {
        "application": {
            "name": client.document.get("name", "") if client else "",
            "clientID": wanted.client_id or "",
        },
        "connection": {"name": user["identities"][0]["connection"]},
        "user": {key: value for key, value in user.items() if key not in {"identities", "app_metadata"}}
        | ({"source_ip": wanted.ip} if wanted.ip else {}),
        "tenant": tenant.name,
        "friendly_name": friendly or tenant.name,
        "support_email": settings.support_email if isinstance(settings.support_email, str) else "",
        "support_url": settings.support_url if isinstance(settings.support_url, str) else "",
        "url": await _link(tx, tenant, wanted, user),
    }
    language = settings.enabled_locales[0] if isinstance(settings.enabled_locales, list) else "en"
    mail = render(default_template(wanted.template, language), variables, now=tenant.clock.now())
    await outbox.deliver(
        tx, tenant, recipient=wanted.to or str(user["email"]), template=wanted.template, subject=mail.subject,
        html=mail.html, body=mail.text,
    )  # fmt: skip


async def _link(tx: Transaction, tenant: TenantScope, wanted: MailJob, user: Mapping[str, Any]) -> str:
    identity = wanted.identity or f"{user['identities'][0]['provider']}|{user['identities'][0]['user_id']}"
    payload: dict[str, Any] = {"identity": identity, "email": user.get("email"), "client_id": wanted.client_id}
    if wanted.template == "verify_email":
        ticket = Ticket(kind="email_verification", user_id=wanted.user_id, payload=payload)
        return f"{tenant.issuer}u/email-verification?ticket={await issue_ticket(tx, tenant, ticket)}#"
    if wanted.template == "reset_email":
        payload["mark_email_as_verified"] = True  # who has the mail has the address
        if wanted.elsewhere is not None:
            payload["elsewhere"] = wanted.elsewhere
        ticket = Ticket(kind="password_change", user_id=wanted.user_id, payload=payload)
        value = await issue_ticket(tx, tenant, ticket, lifetime=RESET_LIFETIME)
        return f"{tenant.issuer}u/reset-password?ticket={value}#"
    if wanted.template == "blocked_account" and wanted.blocked is not None:
        ticket = Ticket(kind="unblock", user_id=wanted.user_id, payload=wanted.blocked)
        return f"{tenant.issuer}u/unblock?ticket={await issue_ticket(tx, tenant, ticket)}#"
    if wanted.template == "enrollment_email" and wanted.enrollment is not None:
        ticket = Ticket(kind="mfa_enrollment", user_id=wanted.user_id, payload=wanted.enrollment)
        return f"{tenant.issuer}u/mfa-enrollment?ticket={await issue_ticket(tx, tenant, ticket)}#"
    return tenant.issuer


async def _tenant(job: Job) -> TenantScope:
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    return tenant
