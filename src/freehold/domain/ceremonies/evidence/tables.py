"""What is kept of those who may sign: executives, authorities, and the links that executives are sent."""

from freehold.kernel.declare import Ephemeral, Expiry, Stored
from freehold.kernel.store.schema import Column, Index, Table

EXECUTIVES = Stored(
    table=Table(
        "executives",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("name", "text"),
            Column("title", "text"),
            Column("email", "text"),
            Column("email_key", "text"),
            Column("certificates", "text"),
            Column("openpgp_key", "text"),
            Column("openpgp_fingerprint", "text"),
            Column("passkeys", "text"),
            Column("enrolled_at_ms", "bigint"),
            Column("enrolled_by", "text"),
            Column("changed_at_ms", "bigint"),
            Column("changed_by", "text"),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "email_key"), unique=True),),
    ),
    json_columns=frozenset({"certificates", "passkeys"}),
)

TRUST_ANCHORS = Stored(
    table=Table(
        "trust_anchors",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("name", "text"),
            Column("fingerprint", "text"),
            Column("certificate", "text"),
            Column("crls", "text"),
            Column("enrolled_at_ms", "bigint"),
            Column("enrolled_by", "text"),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "fingerprint"), unique=True),),
    ),
    json_columns=frozenset({"crls"}),
)

EXECUTIVE_LINKS = Ephemeral(
    table=Table(
        "executive_links",
        (
            Column("tenant_id", "text"),
            Column("value_hash", "text"),
            Column("purpose", "text"),
            Column("executive_id", "text"),
            Column("ceremony_id", "text"),
            Column("digest", "text"),
            Column("issued_by", "text"),
            Column("expires_at_ms", "bigint"),
            Column("used_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "value_hash"),
    ),
    because="A link opens a page of this server for some hours; where the tenant moves to, a new one is sent.",
    expiry=(Expiry("expires_at_ms", kept_s=30 * 86_400),),
)

TABLES = (EXECUTIVES, TRUST_ANCHORS, EXECUTIVE_LINKS)
