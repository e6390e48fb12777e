"""The tenants of this server and their data keys."""

from freehold.kernel.declare import Ephemeral, Stored
from freehold.kernel.store.schema import Column, Index, Table

TENANTS = Stored(
    table=Table(
        "tenants",
        (
            Column("tenant_id", "text"),
            Column("name", "text"),
            Column("domain", "text"),
            Column("management_client_id", "text"),
            Column("created_at", "bigint"),
        ),
        key=("tenant_id",),
        indexes=(Index(("name",), unique=True), Index(("domain",), unique=True)),
    )
)

DATA_KEYS = Ephemeral(
    table=Table(
        "data_keys",
        (
            Column("tenant_id", "text"),
            Column("wrapped", "bytea"),
            Column("created_at", "bigint"),
        ),
        key=("tenant_id",),
    ),
    because="Encrypts this copy of the tenant under this server's master key; a restored tenant gets a new one, and"
    " the archive holds what it protected.",
)
