"""What is kept of a tenant's administrators.

People, their passkeys and the links they were sent are data of the tenant and move with it; passwords, authenticator
secrets and recovery codes are in the vault, owned by `admin|` and the administrator's id. Sessions, challenges and the
devices somebody is known on belong to this server. Times are milliseconds since 1970.
"""

from freehold.kernel.declare import Ephemeral, Expiry, Stored
from freehold.kernel.store.schema import Column, Index, Table

ADMINISTRATORS = Stored(
    table=Table(
        "administrators",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("email", "text"),
            Column("email_key", "text"),
            Column("name", "text"),
            Column("role", "text"),
            Column("blocked", "bigint"),
            Column("created_at_ms", "bigint"),
            Column("created_by", "text"),
            Column("totp_since_ms", "bigint", null=True),
            Column("totp_last_step", "bigint", null=True),
            Column("recovery_since_ms", "bigint", null=True),
            Column("reset_at_ms", "bigint", null=True),
            Column("reset_by", "text", null=True),
            Column("password_changed_at_ms", "bigint"),
            Column("last_sign_in_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "email_key"), unique=True),),
    ),
)

ADMINISTRATOR_PASSKEYS = Stored(
    table=Table(
        "administrator_passkeys",
        (
            Column("tenant_id", "text"),
            Column("credential_id", "text"),
            Column("administrator_id", "text"),
            Column("name", "text"),
            Column("public_key", "text"),
            Column("sign_count", "bigint"),
            Column("transports", "text"),
            Column("aaguid", "text"),
            Column("created_at_ms", "bigint"),
            Column("last_used_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "credential_id"),
        indexes=(Index(("tenant_id", "administrator_id", "credential_id")),),
    ),
    refs={"administrator_id": "administrators"},
    cascade=frozenset({"administrator_id"}),
    json_columns=frozenset({"transports"}),
)

ADMINISTRATOR_LINKS = Stored(
    table=Table(
        "administrator_links",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("value_hash", "text"),
            Column("kind", "text"),
            Column("administrator_id", "text", null=True),
            Column("email", "text"),
            Column("email_key", "text"),
            Column("role", "text"),
            Column("issued_by", "text"),
            Column("created_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
            Column("used_at_ms", "bigint", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(
            Index(("tenant_id", "value_hash"), unique=True),
            Index(("tenant_id", "email_key", "id")),
        ),
    ),
    refs={"administrator_id": "administrators"},
    cascade=frozenset({"administrator_id"}),
    # Whoever opens an old link is told that it is old.
    expiry=(Expiry("expires_at_ms", kept_s=30 * 86_400),),
)

ADMINISTRATOR_SESSIONS = Ephemeral(
    table=Table(
        "administrator_sessions",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("token_hash", "text"),
            Column("administrator_id", "text"),
            Column("via", "text"),
            Column("amr", "text"),
            Column("created_at_ms", "bigint"),
            Column("authenticated_at_ms", "bigint"),
            Column("mfa_at_ms", "bigint", null=True),
            Column("last_seen_at_ms", "bigint"),
            Column("idle_expires_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
            Column("ip", "text"),
            Column("user_agent", "text"),
        ),
        key=("tenant_id", "id"),
        indexes=(
            Index(("tenant_id", "token_hash"), unique=True),
            Index(("tenant_id", "administrator_id", "id")),
        ),
    ),
    because="A session opens the dashboard of this server to somebody who proved here who they are; after a move"
    " administrators do so again.",
    # It is never later than the absolute end.
    expiry=(Expiry("idle_expires_at_ms"),),
)

ADMINISTRATOR_CHALLENGES = Ephemeral(
    table=Table(
        "administrator_challenges",
        (
            Column("tenant_id", "text"),
            Column("value_hash", "text"),
            Column("purpose", "text"),
            Column("bound_to", "text"),
            Column("administrator_id", "text", null=True),
            Column("payload", "text"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "value_hash"),
    ),
    because="Half of a sign-in, or a question that a passkey is to answer within minutes, put to one browser by this"
    " server; it is asked anew elsewhere.",
    expiry=(Expiry("expires_at_ms"),),
)

ADMINISTRATOR_DEVICES = Ephemeral(
    table=Table(
        "administrator_devices",
        (
            Column("tenant_id", "text"),
            Column("administrator_id", "text"),
            Column("device_hash", "text"),
            Column("first_seen_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "administrator_id", "device_hash"),
    ),
    because="Browsers that somebody signed in with at this server, so that a new one causes a notice; their cookies are"
    " for this host, and after a move every browser is new.",
    expiry=(Expiry("expires_at_ms"),),
)

TABLES = (
    ADMINISTRATORS,
    ADMINISTRATOR_PASSKEYS,
    ADMINISTRATOR_LINKS,
    ADMINISTRATOR_SESSIONS,
    ADMINISTRATOR_CHALLENGES,
    ADMINISTRATOR_DEVICES,
)
