"""Pieces of evidence: what was accepted, for which digest, and the server's signed receipt for it.

A piece is never changed. When the request changes, all pieces are void: they stay to be seen and count for nothing.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import rfc8785

from freehold.domain import audit
from freehold.domain.ceremonies.records import Ceremony, ChangedMeanwhile
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_object_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Unavailable
from freehold.kernel.store import Reader, Transaction, UniqueViolation

PieceKind = Literal[
    "recipient_key",
    "review",
    "word",
    "possession",
    "authorization",
    "approval",
    "form",
    "signature",
    "timestamp",
    "scan_check",
]
RECEIPT_DOMAIN = b"freehold.receipt.v1\0"


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted piece."""

    id: str
    ceremony_id: str
    revision: int
    digest: str
    kind: PieceKind
    subject: str
    """Whose it is: an administrator's id, a key's fingerprint."""
    accepted_at_ms: int
    content: bytes
    details_text: str
    receipt_text: str
    voided_at_ms: int | None = None

    @property
    def details(self) -> dict[str, Any]:
        """What is known of it besides its bytes."""
        details: dict[str, Any] = msgspec.json.decode(self.details_text)
        return details

    @property
    def receipt(self) -> dict[str, Any]:
        """The server's signed receipt."""
        receipt: dict[str, Any] = msgspec.json.decode(self.receipt_text)
        return receipt


COLUMNS = "id, ceremony_id, revision, digest, kind, subject, accepted_at_ms, content, details, receipt, voided_at_ms"


def plain(value: Any) -> Any:
    """A value as it comes back from JSON, to be compared with what was stored."""
    return msgspec.json.decode(msgspec.json.encode(value))


async def pieces_of(reader: Reader, tenant: TenantScope, ceremony: Ceremony, *, voided: bool = False) -> list[Piece]:
    """The pieces of a ceremony in the order of their acceptance; those that are void only when asked for."""
    rows = await reader.all(
        f"""select {COLUMNS} from ceremony_evidence where tenant_id = :tenant_id and ceremony_id = :ceremony_id
        and (:voided = 1 or voided_at_ms is null) order by accepted_at_ms, id""",  # noqa: S608 - a constant
        tenant_id=tenant.id,
        ceremony_id=ceremony.id,
        voided=int(voided),
    )
    found = [Piece(**dict(zip(Piece.__struct_fields__, row, strict=True))) for row in rows]
    return [msgspec.structs.replace(piece, content=bytes(piece.content)) for piece in found]


def of_kind(pieces: Sequence[Piece], kind: PieceKind) -> list[Piece]:
    """Those of one kind."""
    return [piece for piece in pieces if piece.kind == kind]


async def add_piece(
    tx: Transaction,
    tenant: TenantScope,
    ceremony: Ceremony,
    kind: PieceKind,
    *,
    subject: str,
    content: bytes = b"",
    details: dict[str, Any],
) -> Piece:
    """Accept a piece, with a receipt. Raises ChangedMeanwhile when there is one of this kind and subject."""
    now = tenant.clock.now_ms()
    text = rfc8785.dumps(details).decode()
    piece_id = new_object_id()
    receipt = await _receipt(
        tx,
        tenant,
        {
            "v": 1, "tenant": tenant.id, "ceremony_id": ceremony.id, "revision": ceremony.revision,
            "digest": ceremony.digest, "piece": piece_id, "kind": kind, "subject": subject, "accepted_at": iso(now),
            "content_sha256": hashlib.sha256(content).hexdigest(),
            "details_sha256": hashlib.sha256(text.encode()).hexdigest(),
        },
    )  # fmt: skip
    piece = Piece(
        id=piece_id, ceremony_id=ceremony.id, revision=ceremony.revision, digest=ceremony.digest, kind=kind,
        subject=subject, accepted_at_ms=now, content=content, details_text=text,
        receipt_text=rfc8785.dumps(receipt).decode(),
    )  # fmt: skip
    try:
        await tx.run(
            """insert into ceremony_evidence (tenant_id, id, ceremony_id, revision, digest, kind, subject,
            accepted_at_ms, content, details, receipt)
            values (:tenant_id, :id, :ceremony_id, :revision, :digest, :kind, :subject, :now, :content, :details,
            :receipt)""",
            tenant_id=tenant.id,
            id=piece.id,
            ceremony_id=ceremony.id,
            revision=piece.revision,
            digest=piece.digest,
            kind=kind,
            subject=subject,
            now=now,
            content=content,
            details=piece.details_text,
            receipt=piece.receipt_text,
        )
    except UniqueViolation:
        raise ChangedMeanwhile from None
    return piece


async def void(tx: Transaction, tenant: TenantScope, ceremony: Ceremony, *, kind: PieceKind | None = None) -> int:
    """Void what was accepted: all of it, or one kind; how many pieces that were."""
    return await tx.run(
        """update ceremony_evidence set voided_at_ms = :now where tenant_id = :tenant_id
        and ceremony_id = :ceremony_id and voided_at_ms is null and (:kind = '' or kind = :kind)""",
        now=tenant.clock.now_ms(),
        tenant_id=tenant.id,
        ceremony_id=ceremony.id,
        kind=kind or "",
    )


def receipt_message(receipt: dict[str, Any]) -> bytes:
    """The bytes that a receipt's signature is of."""
    return RECEIPT_DOMAIN + rfc8785.dumps({name: value for name, value in receipt.items() if name != "signature"})


async def _receipt(tx: Transaction, tenant: TenantScope, content: dict[str, Any]) -> dict[str, Any]:
    key = await audit.current_key(tx, tenant)
    if key is None:
        raise Unavailable("The tenant's audit key is not here yet.", code="audit_unavailable")
    kid, private = key
    receipt = {**content, "kid": kid}
    return {**receipt, "signature": private.sign(receipt_message(receipt)).hex()}
