"""The audit log's rows. Entries and signed tree heads are only ever inserted; times are milliseconds since 1970."""

from freehold.domain.audit.log import rebuild_head
from freehold.kernel.declare import Derived, Ephemeral, Stored
from freehold.kernel.store.schema import Column, Index, Table

AUDIT_KEYS = Stored(
    table=Table(
        "audit_keys",
        (
            Column("tenant_id", "text"),
            Column("kid", "text"),
            Column("public_key", "text"),
            Column("created_at_ms", "bigint"),
        ),
        key=("tenant_id", "kid"),
    ),
)

AUDIT_ENTRIES = Stored(
    table=Table(
        "audit_entries",
        (
            Column("tenant_id", "text"),
            Column("seq", "bigint"),
            Column("time_ms", "bigint"),
            Column("action", "text"),
            Column("actor_kind", "text"),
            Column("actor_id", "text"),
            Column("actor_email", "text"),
            Column("session_id", "text"),
            Column("mfa_at_ms", "bigint", null=True),
            Column("ip", "text"),
            Column("ceremony_id", "text"),
            Column("digest", "text"),
            # Not a JSON column: its very text is what the hash beside it is of.
            Column("details", "text"),
            Column("details_hash", "text"),
            Column("previous", "text"),
            Column("leaf", "text"),
        ),
        key=("tenant_id", "seq"),
        indexes=(Index(("tenant_id", "ceremony_id", "seq"), where="ceremony_id <> ''"),),
        without_rowid=False,
    ),
)

AUDIT_CHECKPOINTS = Stored(
    table=Table(
        "audit_checkpoints",
        (
            Column("tenant_id", "text"),
            Column("size", "bigint"),
            Column("root", "text"),
            Column("time_ms", "bigint"),
            Column("kid", "text"),
            Column("signature", "text"),
        ),
        key=("tenant_id", "size"),
    ),
)


AUDIT_HEADS = Derived(
    table=Table(
        "audit_heads",
        (
            Column("tenant_id", "text"),
            Column("size", "bigint"),
            Column("frontier", "text"),
            Column("last_leaf", "text"),
        ),
        key=("tenant_id",),
    ),
    from_="audit_entries",
    rebuild=rebuild_head,
)

AUDIT_WITNESSED = Ephemeral(
    table=Table(
        "audit_witnessed",
        (
            Column("tenant_id", "text"),
            Column("size", "bigint"),
            Column("head_size", "bigint"),
        ),
        key=("tenant_id",),
    ),
    because="How much of the log the files and servers beside this installation's database have is true of them alone;"
    " elsewhere the whole log is handed to the new ones.",
)

TABLES = (AUDIT_KEYS, AUDIT_ENTRIES, AUDIT_CHECKPOINTS, AUDIT_HEADS, AUDIT_WITNESSED)
