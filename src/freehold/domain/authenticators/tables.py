"""What is known of a user's authenticators besides their secrets, and the browsers that are not asked for a code."""

from freehold.kernel.declare import Expiry, Stored
from freehold.kernel.store.schema import Column, Index, Table

AUTHENTICATORS = Stored(
    table=Table(
        "authenticators",
        (
            Column("tenant_id", "text"),
            Column("user_id", "text"),
            # The name in the vault under which the secret lies.
            Column("slot", "text"),
            Column("id", "text"),
            Column("name", "text", null=True),
            Column("created_at_ms", "bigint"),
            # Null while nobody has proved yet that the app knows the secret.
            Column("enrolled_at_ms", "bigint", null=True),
            Column("last_auth_at_ms", "bigint", null=True),
            # The last TOTP step that was used, or how often a recovery code was replaced: it only grows.
            Column("last_step", "bigint", null=True),
            # Only a pending one ends by itself.
            Column("expires_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "user_id", "slot"),
        indexes=(Index(("tenant_id", "id"), unique=True),),
    ),
    refs={"user_id": "users"},
    cascade=frozenset({"user_id"}),
)

REMEMBERED_BROWSERS = Stored(
    table=Table(
        "remembered_browsers",
        (
            Column("tenant_id", "text"),
            Column("user_id", "text"),
            Column("value_hash", "text"),
            Column("created_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "user_id", "value_hash"),
    ),
    refs={"user_id": "users"},
    cascade=frozenset({"user_id"}),
    expiry=(Expiry("expires_at_ms"),),
)
