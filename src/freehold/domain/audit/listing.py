"""Looking through the audit log, the newest entries first."""

from freehold.domain.audit.entries import COLUMNS, Entry
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader


async def latest_entries(reader: Reader, tenant: TenantScope, *, limit: int, before: int | None = None) -> list[Entry]:
    """The latest entries, or the latest before a number."""
    rows = await reader.all(
        f"""select {COLUMNS} from audit_entries where tenant_id = :tenant_id and (:before is null or seq < :before)
        order by seq desc limit :limit""",  # noqa: S608 - a constant
        tenant_id=tenant.id,
        before=before,
        limit=limit,
    )
    return [Entry.of_row(tenant.id, row) for row in rows]
