"""Where mail goes first, and stays while no server sends it on: a table one can read in the browser."""

import msgspec

from freehold.kernel.crypto.ids import new_object_id
from freehold.kernel.declare import Ephemeral, TenantScope
from freehold.kernel.store import Reader, Transaction
from freehold.kernel.store.schema import Column, Table

TOPIC_SEND = "messaging.send"
KEPT = 1000
"""So many of a tenant's mails are kept; older ones go."""

MAILS = Ephemeral(
    table=Table(
        "mails",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("sent_at_ms", "bigint"),
            Column("recipient", "text"),
            Column("template", "text"),
            Column("subject", "text"),
            Column("html", "text"),
            Column("body", "text"),
        ),
        key=("tenant_id", "id"),
    ),
    because="Copies of mails that were delivered, for developers to read; their links hold tickets that would work for"
    " whoever reads the archive.",
)


class DeliveredMail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail as it was delivered."""

    id: str
    sent_at_ms: int
    recipient: str
    template: str
    subject: str
    html: str
    body: str


async def deliver(
    tx: Transaction, tenant: TenantScope, *, recipient: str, template: str, subject: str, html: str, body: str
) -> None:
    """Put a mail into the outbox; it stays there unless there is a server that sends it on."""
    mail_id = new_object_id()
    await tx.run(
        """insert into mails (tenant_id, id, sent_at_ms, recipient, template, subject, html, body)
        values (:tenant_id, :id, :now, :recipient, :template, :subject, :html, :body)""",
        tenant_id=tenant.id,
        id=mail_id,
        now=tenant.clock.now_ms(),
        recipient=recipient,
        template=template,
        subject=subject,
        html=html,
        body=body,
    )
    await tx.run(
        """delete from mails where tenant_id = :tenant_id and id not in
        (select id from mails where tenant_id = :tenant_id order by id desc limit :kept)""",
        tenant_id=tenant.id,
        kept=KEPT,
    )
    await tx.enqueue(TOPIC_SEND, tenant.id, mail_id.encode())


async def remove(tx: Transaction, tenant: TenantScope, mail_id: str) -> None:
    """Take a mail out that was sent."""
    await tx.run("delete from mails where tenant_id = :tenant_id and id = :id", tenant_id=tenant.id, id=mail_id)


async def latest(reader: Reader, tenant: TenantScope, *, limit: int = 50, before: str = "") -> list[DeliveredMail]:
    """Delivered mails, the newest first, those before an id."""
    rows = await reader.all(
        """select id, sent_at_ms, recipient, template, subject, html, body from mails
        where tenant_id = :tenant_id and (:before = '' or id < :before) order by id desc limit :limit""",
        tenant_id=tenant.id,
        before=before,
        limit=limit,
    )
    return [_mail(row) for row in rows]


async def find_mail(reader: Reader, tenant: TenantScope, mail_id: str) -> DeliveredMail | None:
    """One mail, or None."""
    row = await reader.one(
        """select id, sent_at_ms, recipient, template, subject, html, body from mails
        where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id,
        id=mail_id,
    )
    return None if row is None else _mail(row)


def _mail(row: tuple[object, ...]) -> DeliveredMail:
    names = ("id", "sent_at_ms", "recipient", "template", "subject", "html", "body")
    return DeliveredMail(**dict(zip(names, row, strict=True)))  # type: ignore[arg-type]
