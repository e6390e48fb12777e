"""The export ceremony: how password hashes, MFA secrets and private keys leave, and what proves it.

`states` is the protocol as data, `drafting`, `deciding` and `ending` are what people do, `progress` and `reconciling`
what happens by itself, `completeness` what is checked before anything is built, `bundle` and `verify` the receipt.
"""

from freehold.domain.ceremonies.attempts import Attempt, NotOffered
from freehold.domain.ceremonies.completeness import Evidence, Incomplete, check_complete, check_keys_again, evidence_for
from freehold.domain.ceremonies.deciding import confirm_scan, decide, upload_form
from freehold.domain.ceremonies.drafting import (
    Given,
    GivenRecipient,
    authorize,
    change,
    draft,
    new_words,
    possess,
    submit,
)
from freehold.domain.ceremonies.ending import cancel, confirm_clock, end_by_operator, review
from freehold.domain.ceremonies.export_keys import ensure_export_key, export_certificates
from freehold.domain.ceremonies.notices import TOPIC_NOTICE, write_notices
from freehold.domain.ceremonies.pieces import Piece, pieces_of
from freehold.domain.ceremonies.policy import Policy, policy_in_force, policy_of
from freehold.domain.ceremonies.progress import (
    TOPIC_BUILD,
    TOPIC_DESTROY,
    Artefact,
    Gone,
    check_available,
    expire,
    fail_build,
    finish_build,
    finish_removal,
    record_access,
    record_download,
)
from freehold.domain.ceremonies.proofs import ask_to_decide
from freehold.domain.ceremonies.reconciling import EVERY_S, go_round, reconcile
from freehold.domain.ceremonies.records import (
    AnotherIsActive,
    Ceremony,
    ChangedMeanwhile,
    UnknownCeremony,
    WrongState,
    find_ceremony,
    get_ceremony,
    list_ceremonies,
)
from freehold.domain.ceremonies.request import KINDS, Kind, Request, authorization_text, canonical, digest, groups
from freehold.domain.ceremonies.tables import TABLES
from freehold.kernel.declare import Package

TOPIC_ROUND = "ceremony.round"

PACKAGE = Package(
    name="ceremonies",
    declarations=TABLES,
    jobs={TOPIC_ROUND: go_round, TOPIC_NOTICE: write_notices},
    periodic={TOPIC_ROUND: EVERY_S},
)

__all__ = [
    "KINDS",
    "PACKAGE",
    "TOPIC_BUILD",
    "TOPIC_DESTROY",
    "AnotherIsActive",
    "Artefact",
    "Attempt",
    "Ceremony",
    "ChangedMeanwhile",
    "Evidence",
    "Given",
    "GivenRecipient",
    "Gone",
    "Incomplete",
    "Kind",
    "NotOffered",
    "Piece",
    "Policy",
    "Request",
    "UnknownCeremony",
    "WrongState",
    "ask_to_decide",
    "authorization_text",
    "authorize",
    "cancel",
    "canonical",
    "change",
    "check_available",
    "check_complete", "check_keys_again",
    "confirm_clock",
    "confirm_scan",
    "decide",
    "digest",
    "draft",
    "end_by_operator",
    "ensure_export_key",
    "evidence_for",
    "expire",
    "export_certificates",
    "fail_build",
    "find_ceremony",
    "finish_build",
    "finish_removal",
    "get_ceremony",
    "groups",
    "list_ceremonies",
    "new_words",
    "pieces_of",
    "policy_in_force",
    "policy_of",
    "possess",
    "reconcile",
    "record_access",
    "record_download",
    "review",
    "submit",
    "upload_form",
]  # fmt: skip
