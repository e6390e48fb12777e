"""Is everything there, for exactly this digest, and valid now? Asked before anything is built, and again after.

Nothing is taken from what was once decided: people are looked up, pieces compared, signatures checked again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

from freehold.domain.administrators import Administrator, find_administrator
from freehold.domain.ceremonies.evidence.approvals import verify_approval
from freehold.domain.ceremonies.evidence.executives import get_executive
from freehold.domain.ceremonies.evidence.recipient_key import KeyRefused, check_recipient_key
from freehold.domain.ceremonies.people import check_distinct, is_sole, requester_of
from freehold.domain.ceremonies.pieces import Piece, of_kind, pieces_of, plain
from freehold.domain.ceremonies.policy import Policy, from_snapshot
from freehold.domain.ceremonies.records import Ceremony
from freehold.domain.ceremonies.request import Request, authorization_text, canonical, digest
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.clock import parse_iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, Forbidden, FreeholdError, NotFound
from freehold.kernel.store import Reader

SOLE_SIGNATURES = frozenset({"pdf", "cms", "webauthn"})
"""By which a form is signed where no second administrator confirms."""


class Incomplete(Conflict):
    """409: something is missing or does not hold any more; the code says what."""

    code = "incomplete"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a ceremony rests on."""

    request: Request
    digest: str
    pieces: tuple[Piece, ...]

    @property
    def certificates(self) -> Mapping[str, str]:
        """The recipients' certificates by fingerprint: what may be encrypted to."""
        return {piece.subject: piece.details["certificate"] for piece in of_kind(self.pieces, "recipient_key")}

    @property
    def files(self) -> dict[str, bytes]:
        """The evidence as files by name, to be put beside the secrets."""
        files = {"request.json": canonical(self.request)}
        for number, piece in enumerate(self.pieces, 1):
            name = f"{number:02}-{piece.kind}"
            files[f"{name}.json"] = piece.details_text.encode()
            files[f"{name}.receipt.json"] = piece.receipt_text.encode()
            if piece.content:
                files[f"{name}.bin"] = piece.content
        return files


async def evidence_for(reader: Reader, tenant: TenantScope, ceremony: Ceremony) -> Evidence:
    """What a ceremony rests on."""
    pieces = await pieces_of(reader, tenant, ceremony)
    return Evidence(request=ceremony.request, digest=ceremony.digest, pieces=tuple(pieces))


async def check_complete(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, now: datetime, *, policy: Policy | None = None
) -> Evidence:
    """All evidence for exactly the digest, valid at this moment. Raises Incomplete."""
    policy = policy or from_snapshot(ceremony.request.policy)
    evidence = await evidence_for(reader, tenant, ceremony)
    request, pieces = evidence.request, evidence.pieces
    if digest(request).hex() != ceremony.digest or request.ceremony_id != ceremony.id:
        raise Incomplete("wrong_digest", "The request is not what its digest is of.")
    if request.tenant_id != tenant.id:
        raise Incomplete("wrong_tenant", "The request is another tenant's.")
    for piece in pieces:
        if piece.digest != ceremony.digest or piece.revision != ceremony.revision:
            raise Incomplete("foreign_evidence", f"The {piece.kind} belongs to another revision of the request.")
    if not policy.offered:
        raise Incomplete("not_offered", "The export ceremony is not offered on this tenant's plan.")
    try:
        await requester_of(reader, tenant, ceremony)
    except Forbidden as error:
        raise Incomplete(error.code, error.message) from None
    _check_keys(request, pieces, now, policy)
    _check_authorization(request, pieces)
    if policy.manual_review and not of_kind(pieces, "review"):
        raise Incomplete("no_review", "The operator has not approved the request.")
    await _check_approvals(reader, tenant, ceremony, pieces, policy)
    await _check_signature(reader, tenant, ceremony, pieces, policy)
    return evidence


async def check_keys_again(evidence: Evidence, now: datetime, policy: Policy) -> None:
    """Read the recipients' keys once more, as at the beginning, by the policy of now. Raises Incomplete.

    It starts other processes, so keep it out of transactions.
    """
    for piece in of_kind(evidence.pieces, "recipient_key"):
        try:
            await check_recipient_key(
                piece.content.decode(), email=piece.details["email"], now=now, retention_days=policy.retention_days,
                policy=policy.key_policy,
            )  # fmt: skip
        except KeyRefused as refused:
            raise Incomplete(refused.code, refused.message) from None


async def valid_approvers(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, pieces: Sequence[Piece], policy: Policy
) -> list[Administrator]:
    """Those whose confirmation counts now: still administrators with all rights, each another person."""
    requester = await requester_of(reader, tenant, ceremony)
    counted: list[Administrator] = []
    for piece in of_kind(pieces, "approval"):
        details = piece.details
        person = await find_administrator(reader, tenant, piece.subject)
        if details["decision"] != "approve" or person is None or person.blocked or not person.may("admin"):
            continue
        try:
            if details["method"] == "passkey":
                verify_approval(bytes.fromhex(ceremony.digest), details, domain=ceremony.request.domain)
            elif policy.passkeys_only:
                continue
            await check_distinct(reader, tenant, person, [requester, *counted], policy)
        except FreeholdError:
            continue
        counted.append(person)
    return counted


def _check_keys(request: Request, pieces: Sequence[Piece], now: datetime, policy: Policy) -> None:
    keys = {piece.subject: piece for piece in of_kind(pieces, "recipient_key")}
    shown = {piece.subject for piece in of_kind(pieces, "possession")}
    named = {recipient.fingerprint: recipient for recipient in request.recipients}
    if set(keys) != set(named):
        raise Incomplete("no_key", "The keys are not those of the request.")
    if shown != set(named):
        raise Incomplete("no_possession", "Nobody has shown that the recipients can decrypt.")
    for fingerprint, piece in keys.items():
        if sha256(piece.content).hexdigest() != named[fingerprint].sha256:
            raise Incomplete("wrong_key", "A key is not the one that was requested.")
        if tuple(piece.details["subkeys"]) != named[fingerprint].subkeys:
            raise Incomplete("wrong_key", "A key has other subkeys than were requested.")
        expires = piece.details["expires_at"]
        if expires is not None and parse_iso(expires) < now + timedelta(days=policy.retention_days):
            raise Incomplete("key_expires", "A recipient's key expires before the export would be removed.")


def _check_authorization(request: Request, pieces: Sequence[Piece]) -> None:
    found = [piece for piece in of_kind(pieces, "authorization") if piece.subject == request.requester.id]
    if len(found) != 1 or found[0].content.decode() != authorization_text(request):
        raise Incomplete("no_authorization", "The requester has not authorized exactly this request.")


async def _check_approvals(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, pieces: Sequence[Piece], policy: Policy
) -> None:
    requester = await requester_of(reader, tenant, ceremony)
    if await is_sole(reader, tenant, requester):
        _check_alone(ceremony, pieces, policy)
        return
    approvers = await valid_approvers(reader, tenant, ceremony, pieces, policy)
    if len(approvers) < policy.threshold:
        raise Incomplete("too_few_approvals", "Too few administrators whose confirmation counts have confirmed.")


def _check_alone(ceremony: Ceremony, pieces: Sequence[Piece], policy: Policy) -> None:
    """The only administrator: two kinds of factors, and a signature that somebody else's key made."""
    if not policy.sole_administrator:
        raise Incomplete("sole_administrator", "One administrator alone may not export.")
    factors = {factor["method"]: factor for factor in of_kind(pieces, "authorization")[0].details["factors"]}
    if set(factors) != {"passkey", "totp"}:
        raise Incomplete("too_few_factors", "The only administrator has to show a passkey and a code.")
    verify_approval(bytes.fromhex(ceremony.digest), factors["passkey"], domain=ceremony.request.domain)
    if any(piece.details["kind"] not in SOLE_SIGNATURES for piece in of_kind(pieces, "signature")):
        raise Incomplete("weak_signature", "Here the form has to be signed with a certificate or a passkey.")


async def check_executive(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, seen: Mapping[str, Any], policy: Policy
) -> None:
    """The executive is enrolled as when the signature was checked, and no other part of it. Raises Incomplete."""
    try:
        executive = await get_executive(reader, tenant, ceremony.request.executive.id)
    except NotFound:
        raise Incomplete("executive_gone", "The executive is not enrolled any more.") from None
    if plain(executive.signatory) != seen:
        raise Incomplete("executive_changed", "The executive was enrolled anew since the form was signed.")
    others = [await requester_of(reader, tenant, ceremony)]
    if policy.strict_roles:
        pieces = await pieces_of(reader, tenant, ceremony)
        others += await valid_approvers(reader, tenant, ceremony, pieces, policy)
    if canonical_email(executive.email) in {canonical_email(person.email) for person in others}:
        raise Incomplete(
            "executive_not_distinct", "The executive is to be another person than requester and approvers."
        )


async def _check_signature(
    reader: Reader, tenant: TenantScope, ceremony: Ceremony, pieces: Sequence[Piece], policy: Policy
) -> None:
    signatures = of_kind(pieces, "signature")
    if len(signatures) != 1 or len(of_kind(pieces, "form")) != 1:
        raise Incomplete("no_signature", "The form is not signed.")
    details = signatures[0].details
    if details["kind"] == "scan":
        allowed = policy.allow_scan == "always" or (
            policy.allow_scan == "without_private_keys" and "private_keys" not in ceremony.request.kinds
        )
        if not allowed or not of_kind(pieces, "scan_check"):
            raise Incomplete("scan_not_checked", "Nobody has said whose the scanned signature is.")
    if policy.time_stamps:
        stamps = of_kind(pieces, "timestamp")
        if [stamp.details["sha256"] for stamp in stamps] != [sha256(signatures[0].content).hexdigest()]:
            raise Incomplete("no_time_stamp", "No authority has stamped the signed form with its time.")
    await check_executive(reader, tenant, ceremony, details["executive"], policy)
