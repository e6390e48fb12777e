"""Every attempt to get at a sealed export: in the audit log, and in the mail of every administrator."""

from typing import Any

from freehold.domain import audit
from freehold.domain.administrators import Acting, list_administrators
from freehold.domain.administrators.mail import send
from freehold.domain.audit import AuditActor
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Transaction
from freehold.surfaces.ceremony.delivery.artefacts import Artefact

MAIL = "admin_export_access"


def actor_of(acting: Acting, ip: str) -> AuditActor:
    """Who it is, as the audit log names them."""
    person, session = acting.administrator, acting.session
    return AuditActor("administrator", person.id, person.email, session.id, session.mfa_at_ms, ip)


async def record_access(
    tx: Transaction, tenant: TenantScope, artefact: Artefact, actor: AuditActor, outcome: str, **details: Any
) -> None:
    """Write down one attempt. Raises Unavailable when the audit log cannot be written: then nothing is released."""
    await audit.record(
        tx,
        tenant,
        action=f"artefact.download_{outcome}",
        actor=actor,
        ceremony_id=artefact.ceremony_id,
        digest=artefact.digest,
        details={**details, "artefact": artefact.id},
    )
    for administrator in await list_administrators(tx, tenant):
        if not administrator.blocked:
            await send(
                tx, tenant, MAIL, administrator.email, outcome=outcome, who=actor.email, ip=actor.ip,
                ceremony=artefact.ceremony_id,
            )  # fmt: skip
