"""The audit log: append-only, hash-chained, a signed Merkle tree, kept by more than the database.

`record` writes an entry in the transaction of what it tells about. An entry of a ceremony counts only when another
place has accepted it too.
"""

from freehold.domain.audit.checking import Seen, Verdict, check_log, head_of, last_heads, read_file
from freehold.domain.audit.entries import OPERATOR, SYSTEM_ACTOR, AuditActor, Entry
from freehold.domain.audit.keys import TreeHead, current_key, fingerprint, is_signed, public_keys
from freehold.domain.audit.listing import latest_entries
from freehold.domain.audit.log import bootstrap, checkpoint, latest_head, record
from freehold.domain.audit.proofs import Proof, entries_of, head_of_size, prove, prove_consistency
from freehold.domain.audit.rounds import EVERY_S, catch_up, go_round
from freehold.domain.audit.tables import TABLES
from freehold.domain.audit.witnesses import FileSink, Witnesses, witnesses_of
from freehold.kernel.declare import Package

TOPIC_ROUND = "audit.round"

PACKAGE = Package(
    name="audit",
    declarations=TABLES,
    bootstrap=bootstrap,
    jobs={TOPIC_ROUND: go_round},
    periodic={TOPIC_ROUND: EVERY_S},
)

__all__ = [
    "OPERATOR", "PACKAGE", "SYSTEM_ACTOR", "AuditActor", "Entry", "FileSink", "Proof", "Seen", "TreeHead", "Verdict",
    "Witnesses", "catch_up", "check_log", "checkpoint", "current_key", "entries_of", "fingerprint", "head_of",
    "head_of_size", "is_signed", "last_heads", "latest_entries", "latest_head", "prove", "prove_consistency",
    "public_keys", "read_file", "record", "witnesses_of",
]  # fmt: skip
