"""The store's own tables; everything else is declared by the packages above."""

from freehold.kernel.store.schema import Column, Index, Table

SCHEMA_MIGRATIONS = Table(
    "schema_migrations",
    (
        Column("number", "bigint"),
        Column("name", "text"),
        Column("checksum", "text"),
        Column("applied_at_ms", "bigint"),
    ),
    key=("number",),
)

# A tenant's number grows with every transaction that touched it; see Store.cache_epoch.
CACHE_EPOCHS = Table(
    "cache_epochs",
    (Column("tenant_id", "text"), Column("epoch", "bigint")),
    key=("tenant_id",),
)

# `due_ms` is when a row may next be claimed: its start time, its retry time or the end of its lease.
WORK_QUEUE = Table(
    "work_queue",
    (
        Column("tenant_id", "text"),
        Column("id", "text"),
        Column("topic", "text"),
        Column("payload", "bytea"),
        Column("state", "text"),
        Column("due_ms", "bigint"),
        Column("lease", "text", null=True),
        Column("attempts", "bigint"),
        Column("last_error", "text", null=True),
        Column("enqueued_at_ms", "bigint"),
    ),
    key=("tenant_id", "id"),
    indexes=(Index(("state", "due_ms")),),
    without_rowid=False,
)

WORK_SCHEDULE = Table(
    "work_schedule",
    (Column("name", "text"), Column("next_ms", "bigint"), Column("last_started_at_ms", "bigint", null=True)),
    key=("name",),
)

STORE_TABLES = (SCHEMA_MIGRATIONS, CACHE_EPOCHS, WORK_QUEUE, WORK_SCHEDULE)
