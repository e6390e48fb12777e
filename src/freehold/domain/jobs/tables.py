"""Jobs that the API shows, and the files that go with them: an upload, a result, the rows that failed."""

from freehold.kernel.declare import Ephemeral
from freehold.kernel.store.schema import Column, Table

JOBS = Ephemeral(
    table=Table(
        "jobs",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("type", "text"),
            Column("status", "text"),
            Column("created_at_ms", "bigint"),
            Column("document", "text"),
        ),
        key=("tenant_id", "id"),
    ),
    because="Says for a day how a job of this server went; what the job did is in the users themselves.",
)

JOB_FILES = Ephemeral(
    table=Table(
        "job_files",
        (
            Column("tenant_id", "text"),
            Column("job_id", "text"),
            Column("name", "text"),
            Column("number", "bigint"),
            Column("content", "bytea"),
        ),
        key=("tenant_id", "job_id", "name", "number"),
        without_rowid=False,
    ),
    because="Uploads (encrypted: they hold password hashes) and results of jobs, which live for a day.",
)
