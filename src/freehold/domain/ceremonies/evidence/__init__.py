"""What a ceremony rests on: a recipient's key, a proof that its owner can decrypt, a form and who signed it.

The functions here take everything they compare with as arguments, so that a receipt can be checked again, years
later and without the server. What strangers sent is read in child processes with bounds (`confined.py`).
"""

from freehold.domain.ceremonies.evidence.tables import TABLES
from freehold.kernel.declare import Package

PACKAGE = Package(name="ceremony_evidence", declarations=TABLES)

__all__ = ["PACKAGE", "TABLES"]
