"""What signing in leaves behind: sessions, refresh tokens, and the short-lived rows on the way to them.

Tokens, codes and cookies are stored as the SHA-256 of their value: they are random enough that nothing can be found
back from it, and no key is needed to carry them to another server. Times are milliseconds since 1970.
"""

from freehold.kernel.declare import Ephemeral, Expiry, Stored
from freehold.kernel.store.schema import Column, Index, Table

SESSIONS = Stored(
    table=Table(
        "sessions",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("token_hash", "text"),
            Column("user_id", "text"),
            Column("connection", "text"),
            Column("created_at_ms", "bigint"),
            Column("updated_at_ms", "bigint"),
            Column("authenticated_at_ms", "bigint"),
            Column("last_interacted_at_ms", "bigint"),
            Column("idle_expires_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
            Column("persistent", "bigint"),
            Column("clients", "text"),
            Column("device", "text"),
            Column("methods", "text"),
            Column("metadata", "text", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(
            Index(("tenant_id", "token_hash"), unique=True),
            Index(("tenant_id", "user_id", "id")),
        ),
    ),
    refs={"user_id": "users"},
    cascade=frozenset({"user_id"}),
    json_columns=frozenset({"clients", "device", "methods", "metadata"}),
    # It is never later than the absolute end.
    expiry=(Expiry("idle_expires_at_ms"),),
)

REFRESH_TOKENS = Stored(
    table=Table(
        "refresh_tokens",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("live", "text"),
            Column("previous", "text", null=True),
            Column("generation", "bigint"),
            Column("rotated_at_ms", "bigint", null=True),
            Column("user_id", "text"),
            Column("client_id", "text"),
            Column("session_id", "text", null=True),
            Column("grant_id", "text", null=True),
            Column("connection", "text"),
            Column("rotating", "bigint"),
            Column("created_at_ms", "bigint"),
            Column("last_exchanged_at_ms", "bigint", null=True),
            Column("idle_expires_at_ms", "bigint", null=True),
            Column("expires_at_ms", "bigint", null=True),
            Column("resource_servers", "text"),
            Column("context", "text"),
            Column("device", "text"),
            Column("metadata", "text", null=True),
        ),
        key=("tenant_id", "id"),
        indexes=(Index(("tenant_id", "user_id", "id")),),
    ),
    refs={"user_id": "users"},
    cascade=frozenset({"user_id"}),
    json_columns=frozenset({"live", "resource_servers", "context", "device", "metadata"}),
    expiry=(Expiry("idle_expires_at_ms"), Expiry("expires_at_ms")),
)

REVOKED_GRANTS = Stored(
    table=Table(
        "revoked_grants",
        (Column("tenant_id", "text"), Column("grant_id", "text"), Column("expires_at_ms", "bigint")),
        key=("tenant_id", "grant_id"),
    ),
    expiry=(Expiry("expires_at_ms"),),
)

AUTHORIZATION_CODES = Ephemeral(
    table=Table(
        "authorization_codes",
        (
            Column("tenant_id", "text"),
            Column("code_hash", "text"),
            Column("client_id", "text"),
            Column("user_id", "text"),
            Column("grant_id", "text"),
            Column("payload", "text"),
            Column("expires_at_ms", "bigint"),
            Column("consumed_at_ms", "bigint", null=True),
            Column("access_token_hash", "text", null=True),
        ),
        key=("tenant_id", "code_hash"),
    ),
    # So long is a second use of a code noticed.
    expiry=(Expiry("expires_at_ms", kept_s=86_400),),
    because="A code lives for minutes and its application redeems it at the server that issued it; whoever is caught by"
    " a move signs in again.",
)

LOGIN_TRANSACTIONS = Ephemeral(
    table=Table(
        "login_transactions",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("version", "bigint"),
            Column("payload", "text"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "id"),
    ),
    expiry=(Expiry("expires_at_ms"),),
    because="A sign-in that is under way is bound to a page that is open in a browser of this server; it starts anew"
    " elsewhere.",
)

TABLES = (SESSIONS, REFRESH_TOKENS, REVOKED_GRANTS, AUTHORIZATION_CODES, LOGIN_TRANSACTIONS)
