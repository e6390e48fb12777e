"""What is kept of a sealed export while it exists, and of its destruction afterwards.

All of it belongs to this server: the file lies here, its key is wrapped by this installation's master key, and its time
is counted by this machine's clocks. The lasting record is the ceremony's and the audit log's.
"""

from freehold.kernel.declare import Ephemeral, Expiry
from freehold.kernel.store.schema import Column, Index, Table

ARTEFACTS = Ephemeral(
    table=Table(
        "ceremony_artefacts",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("ceremony_id", "text"),
            Column("digest", "text"),
            Column("requester_id", "text"),
            Column("place", "text"),
            Column("state", "text"),
            Column("size", "bigint"),
            Column("sealed_size", "bigint"),
            Column("sha256", "text"),
            Column("recipients", "text"),
            Column("counts", "text"),
            Column("created_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
            Column("seen_ms", "bigint"),
            Column("elapsed_ms", "bigint"),
            Column("boot_id", "text"),
            Column("boot_ms", "bigint"),
            Column("download_limit", "bigint"),
            Column("ends_with_download", "bigint"),
            Column("downloads", "bigint"),
            Column("sent_bytes", "bigint"),
            Column("destroyed_at_ms", "bigint", null=True),
            Column("destroyed_because", "text", null=True),
            Column("traces", "bigint"),
            Column("unrecorded", "bigint"),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "ceremony_id")),),
        without_rowid=False,
    ),
    because="A file on this server that lives for days, counted by this server's clocks; the audit log tells of it.",
)

# One small row each in a table with row numbers, so that overwriting happens in place.
ARTEFACT_KEYS = Ephemeral(
    table=Table(
        "ceremony_artefact_keys",
        (Column("tenant_id", "text"), Column("artefact_id", "text"), Column("wrapped", "bytea")),
        key=("tenant_id", "artefact_id"),
        without_rowid=False,
    ),
    because="The only key of a file that must not outlive its time; a copy elsewhere would be a way around that.",
)

TICKETS = Ephemeral(
    table=Table(
        "download_tickets",
        (
            Column("tenant_id", "text"),
            Column("value_hash", "text"),
            Column("artefact_id", "text"),
            Column("administrator_id", "text"),
            Column("session_id", "text"),
            Column("created_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
            Column("opened_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "value_hash"),
        indexes=(Index(("tenant_id", "artefact_id")),),
    ),
    because="Lets one session begin one download within a minute.",
    expiry=(Expiry("expires_at_ms"),),
)

TABLES = (ARTEFACTS, ARTEFACT_KEYS, TICKETS)
