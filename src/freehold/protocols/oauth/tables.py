"""What the protocol keeps of its own; apart from the endpoints, because the registry is needed without them."""

from freehold.kernel.declare import Ephemeral, Expiry, Package
from freehold.kernel.store.schema import Column, Table

USED_ASSERTIONS = Ephemeral(
    table=Table(
        "used_assertions",
        (
            Column("tenant_id", "text"),
            Column("client_id", "text"),
            Column("jti", "text"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "client_id", "jti"),
    ),
    expiry=(Expiry("expires_at_ms"),),
    because="An assertion names this server and lives for five minutes at most; elsewhere it is worth nothing.",
)

PACKAGE = Package(name="oauth", declarations=(USED_ASSERTIONS,))
