"""A ceremony's rows. The record of what happened is exported and survives; what only serves one moment is not."""

from freehold.domain.ceremonies.states import ACTIVE_SQL
from freehold.kernel.declare import Ephemeral, Expiry, Stored
from freehold.kernel.store.schema import Column, Index, Table

CEREMONIES = Stored(
    table=Table(
        "ceremonies",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("version", "bigint"),
            Column("state", "text"),
            Column("revision", "bigint"),
            # Not a JSON column: its very text is what the digest is of.
            Column("request", "text"),
            Column("digest", "text"),
            Column("requester_id", "text"),
            Column("created_at_ms", "bigint"),
            Column("state_since_ms", "bigint"),
            Column("deadline_ms", "bigint", null=True),
            Column("not_before_ms", "bigint", null=True),
            Column("steady_not_before_ms", "bigint", null=True),
            Column("start_id", "text"),
            Column("artefact", "text"),
            Column("downloads", "bigint"),
            Column("reason", "text"),
        ),
        key=("tenant_id", "id"),
        indexes=(
            Index(("tenant_id",), unique=True, where=ACTIVE_SQL, name="ceremonies_one_active"),
            Index(("tenant_id", "created_at_ms")),
        ),
        without_rowid=False,
    ),
)

CEREMONY_EVIDENCE = Stored(
    table=Table(
        "ceremony_evidence",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("ceremony_id", "text"),
            Column("revision", "bigint"),
            Column("digest", "text"),
            Column("kind", "text"),
            Column("subject", "text"),
            Column("accepted_at_ms", "bigint"),
            Column("content", "bytea"),
            Column("details", "text"),
            Column("receipt", "text"),
            Column("voided_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(
            Index(
                ("tenant_id", "ceremony_id", "kind", "subject"), unique=True, where="voided_at_ms is null",
                name="ceremony_evidence_once",
            ),
            Index(("tenant_id", "ceremony_id", "accepted_at_ms")),
        ),
        without_rowid=False,
    ),
    refs={"ceremony_id": "ceremonies"},
)  # fmt: skip

CEREMONY_CHALLENGES = Ephemeral(
    table=Table(
        "ceremony_challenges",
        (
            Column("tenant_id", "text"),
            Column("ceremony_id", "text"),
            Column("administrator_id", "text"),
            Column("decision", "text"),
            Column("nonce", "bytea"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "ceremony_id", "administrator_id", "decision"),
    ),
    expiry=(Expiry("expires_at_ms"),),
    because="A question put to one browser of this server and answered within minutes; elsewhere it is put anew.",
)

CEREMONY_KEYS = Ephemeral(
    table=Table(
        "ceremony_idempotency",
        (
            Column("tenant_id", "text"),
            Column("administrator_id", "text"),
            Column("key", "text"),
            Column("asked", "text"),
            Column("ceremony_id", "text"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "administrator_id", "key"),
    ),
    expiry=(Expiry("expires_at_ms"),),
    because="Lets a client repeat a call whose answer it lost, within a day and at this server alone.",
)

CEREMONY_CLOCKS = Ephemeral(
    table=Table(
        "ceremony_clocks",
        (
            Column("tenant_id", "text"),
            Column("start_id", "text"),
            Column("wall_ms", "bigint"),
            Column("steady_ms", "bigint"),
        ),
        key=("tenant_id", "start_id"),
    ),
    because="Compares this machine's wall clock with the time since its start, and says nothing about others.",
)

CEREMONY_FREEZES = Ephemeral(
    table=Table(
        "ceremony_freezes",
        (Column("tenant_id", "text"), Column("since_ms", "bigint"), Column("jump_ms", "bigint")),
        key=("tenant_id",),
    ),
    because="That a clock jumped is a matter of the machine it jumped on; the audit log tells of it.",
)

CEREMONY_HOMES = Ephemeral(
    table=Table(
        "ceremony_homes",
        (Column("tenant_id", "text"), Column("ceremony_id", "text")),
        key=("tenant_id", "ceremony_id"),
    ),
    because="Tells ceremonies that began in this database from those that came with an archive, which may not go on.",
)

EXPORT_KEYS = Stored(
    table=Table(
        "export_keys",
        (
            Column("tenant_id", "text"),
            Column("fingerprint", "text"),
            Column("certificate", "text"),
            Column("created_at_ms", "bigint"),
        ),
        key=("tenant_id", "fingerprint"),
    ),
)

TABLES = (
    CEREMONY_HOMES,
    EXPORT_KEYS,
    CEREMONIES,
    CEREMONY_EVIDENCE,
    CEREMONY_CHALLENGES,
    CEREMONY_KEYS,
    CEREMONY_CLOCKS,
    CEREMONY_FREEZES,
)
