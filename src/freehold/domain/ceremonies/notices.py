"""Mails to all administrators about what happens to an export: enqueued with it, written after the commit."""

import msgspec

from freehold.domain.administrators import list_administrators
from freehold.domain.administrators.mail import send
from freehold.domain.audit import AuditActor, latest_head
from freehold.domain.ceremonies.records import Ceremony, find_ceremony
from freehold.domain.ceremonies.request import groups
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job
from freehold.kernel.store import Transaction

TOPIC_NOTICE = "ceremony.notice"


class Notice(msgspec.Struct, kw_only=True):
    """What is to be told."""

    ceremony_id: str
    notice: str
    by: str = ""
    ip: str = ""


async def announce(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, notice: str, *, by: AuditActor) -> None:
    """Tell all administrators once this transaction is durable."""
    told = Notice(ceremony_id=ceremony.id, notice=notice, by=by.email or by.kind, ip=by.ip)
    await tx.enqueue(TOPIC_NOTICE, tenant.id, msgspec.json.encode(told))


async def write_notices(job: Job) -> None:
    """Write the mails; who is blocked gets none."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    told = msgspec.json.decode(job.payload, type=Notice)
    async with job.services.store.transaction() as tx:
        ceremony = await find_ceremony(tx, tenant, told.ceremony_id)
        if ceremony is not None:
            request = ceremony.request
            people = await list_administrators(tx, tenant)
            # Kept in many mailboxes, it tells of a database that was put back to an older copy.
            head = await latest_head(tx, tenant)
            addresses = {person.email for person in people if not person.blocked} | {request.requester.email}
            for address in sorted(addresses):
                await send(
                    tx, tenant, "admin_ceremony", address, url=f"{tenant.issuer}admin/exports/{ceremony.id}",
                    notice=told.notice, ceremony=ceremony.id, by=told.by, ip=told.ip, kinds=", ".join(request.kinds),
                    groups=groups(bytes.fromhex(ceremony.digest)), digest=ceremony.digest,
                    fingerprints=", ".join(recipient.fingerprint for recipient in request.recipients),
                    head="" if head is None else f"{head.size} {head.root}",
                    waits_until="" if ceremony.not_before_ms is None else iso(ceremony.not_before_ms),
                )  # fmt: skip
        await job.finish(tx)
