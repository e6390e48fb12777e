"""Jobs that the API shows: imports and exports of users, verification mails."""

from freehold.domain.jobs import work
from freehold.domain.jobs.downloads import add_routes
from freehold.domain.jobs.operations import OPERATIONS, TOPIC_EXPORT, TOPIC_IMPORT, TOPIC_VERIFY
from freehold.domain.jobs.tables import JOB_FILES, JOBS
from freehold.kernel.declare import Package

TOPIC_FORGET = "jobs.forget"

PACKAGE = Package(
    name="jobs",
    declarations=(JOBS, JOB_FILES),
    operations=OPERATIONS,
    jobs={
        TOPIC_IMPORT: work.import_users,
        TOPIC_EXPORT: work.export_users,
        TOPIC_VERIFY: work.send_verification_email,
        TOPIC_FORGET: work.forget,
    },
    periodic={TOPIC_FORGET: 3600},
)

__all__ = ["JOBS", "JOB_FILES", "PACKAGE", "add_routes"]
