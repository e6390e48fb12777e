"""One entry of the audit log, and the bytes its place in the tree is a hash of."""

import hashlib
from typing import Any

import msgspec
import rfc8785

from freehold.domain.audit import merkle
from freehold.kernel.clock import iso
from freehold.kernel.store import Row

START = "0" * 64
"""What the first entry names as its predecessor."""

COLUMNS = (
    "seq, time_ms, action, actor_kind, actor_id, actor_email, session_id, mfa_at_ms, ip, ceremony_id, digest, "
    "details, details_hash, previous, leaf"
)


class AuditActor(msgspec.Struct, frozen=True):
    """Who did it: an administrator, `executive`, `operator` for a command on the server, or `system`."""

    kind: str
    id: str = ""
    email: str = ""
    session_id: str = ""
    mfa_at_ms: int | None = None
    ip: str = ""


SYSTEM_ACTOR = AuditActor("system")
OPERATOR = AuditActor("operator")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry as it is stored."""

    tenant_id: str
    seq: int
    time_ms: int
    action: str
    actor: AuditActor
    ceremony_id: str
    digest: str
    details: str
    """Canonical JSON (RFC 8785)."""
    details_hash: str
    previous: str
    leaf: str

    @classmethod
    def of_row(cls, tenant_id: str, row: Row) -> "Entry":
        """The entry in a row of COLUMNS."""
        seq, time_ms, action, kind, id_, email, session, mfa_at_ms, ip, ceremony, digest, details, *hashes = row
        return cls(
            tenant_id=tenant_id, seq=seq, time_ms=time_ms, action=action,
            actor=AuditActor(kind, id_, email, session, mfa_at_ms, ip), ceremony_id=ceremony, digest=digest,
            details=details, details_hash=hashes[0], previous=hashes[1], leaf=hashes[2],
        )  # fmt: skip

    @property
    def signed_part(self) -> dict[str, Any]:
        """What the leaf is a hash of, as JSON members; the details are in it by their hash."""
        actor = self.actor
        return {
            "v": 1,
            "tenant": self.tenant_id,
            "seq": self.seq,
            "time": iso(self.time_ms),
            "action": self.action,
            "actor": {
                "kind": actor.kind,
                "id": actor.id,
                "email": actor.email,
                "session_id": actor.session_id,
                "mfa_at": None if actor.mfa_at_ms is None else iso(actor.mfa_at_ms),
                "ip": actor.ip,
            },
            "ceremony_id": self.ceremony_id,
            "digest": self.digest,
            "details_sha256": self.details_hash,
            "previous": self.previous,
        }

    @property
    def shown(self) -> dict[str, Any]:
        """The entry with its details and its leaf hash, as files, streams and receipts hold it."""
        return {**self.signed_part, "details": msgspec.json.decode(self.details), "leaf": self.leaf}


def sealed(entry: Entry) -> Entry:
    """The entry with the leaf hash that belongs to it."""
    return msgspec.structs.replace(entry, leaf=leaf_of(entry.signed_part).hex())


def leaf_of(signed_part: dict[str, Any]) -> bytes:
    """The leaf hash of an entry's signed part."""
    return merkle.leaf_hash(rfc8785.dumps(signed_part))


def canonical_details(details: dict[str, Any]) -> str:
    """Details in their one spelling."""
    return rfc8785.dumps(details).decode()


def details_hash(details: str) -> str:
    """The hash of details in their one spelling."""
    return hashlib.sha256(details.encode()).hexdigest()


def problem_of_shown(shown: dict[str, Any]) -> str:
    """What is wrong with an entry in its shown form; empty when it hashes to its own leaf."""
    signed = {name: value for name, value in shown.items() if name not in {"details", "leaf"}}
    try:
        if hashlib.sha256(rfc8785.dumps(shown["details"])).hexdigest() != signed["details_sha256"]:
            return "its details are not those it was written with"
        if leaf_of(signed).hex() != shown["leaf"]:
            return "it is not what its hash is of"
    except (KeyError, rfc8785.CanonicalizationError):
        return "it is incomplete"
    return ""
