"""The tenant log as a table: one JSON record a row, in the order of its id, which sorts by time."""

from freehold.kernel.declare import Stored
from freehold.kernel.store.schema import Column, Index, Table

LOGS = Stored(
    table=Table(
        "logs",
        (
            Column("tenant_id", "text"),
            Column("log_id", "text"),
            Column("date_ms", "bigint"),
            Column("type", "text"),
            Column("client_id", "text", null=True),
            Column("user_id", "text", null=True),
            Column("record", "text"),
        ),
        key=("tenant_id", "log_id"),
        # Most entries are of machines and have no user: they cost this index nothing.
        indexes=(Index(("tenant_id", "user_id", "log_id"), where="user_id is not null"),),
        without_rowid=False,
    ),
    json_columns=frozenset({"record"}),
)
