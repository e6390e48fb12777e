"""The export ceremony: how password hashes, MFA secrets and private keys leave, and what proves it.

`states` is the protocol as data, `records` moves a ceremony along it, `pieces` keeps what was accepted for a request.
"""

from freehold.domain.ceremonies.notices import TOPIC_NOTICE, write_notices
from freehold.domain.ceremonies.tables import TABLES
from freehold.kernel.declare import Package

PACKAGE = Package(name="ceremonies", declarations=TABLES, jobs={TOPIC_NOTICE: write_notices})

__all__ = ["PACKAGE"]
