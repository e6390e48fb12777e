"""What a search in the tenant log can name, and where each value stands. All values are compared exactly."""

from freehold.kernel.search import DateField, FieldSet, JsonField, TextField

_IN_RECORD = (
    "client_name", "connection", "connection_id", "description", "hostname", "ip", "organization_id", "user_name",
    "user_agent", "strategy", "strategy_type", "audience", "scope",
)  # fmt: skip

LOG_FIELDS = FieldSet(
    fields={
        "log_id": TextField("log_id", null=False),
        "_id": TextField("log_id", null=False),
        "date": DateField("date_ms", null=False),
        "type": TextField("type", null=False),
        "client_id": TextField("client_id"),
        "user_id": TextField("user_id"),
        **{name: TextField(f"json_text(record, '{name}')") for name in _IN_RECORD},
    },
    prefixes={"details": JsonField(("details",), document="record")},
    bare=("client_name", "connection", "description", "ip", "log_id", "type", "user_name"),
    sortable=frozenset({"date", "log_id", "type", "client_id", "user_id"}),
)
