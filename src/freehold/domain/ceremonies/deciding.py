"""Other people's part: administrators who confirm or reject, and the executive's signature on the form."""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from freehold.domain.administrators import get_administrator
from freehold.domain.ceremonies.attempts import Acted, Attempt, earlier_answer, perform, record_refusal
from freehold.domain.ceremonies.completeness import SOLE_SIGNATURES, check_executive, valid_approvers
from freehold.domain.ceremonies.evidence.executives import anchors_of, check_settled, get_executive, list_anchors
from freehold.domain.ceremonies.evidence.signatories import FormSignature, SignatureKind, SignaturePolicy
from freehold.domain.ceremonies.evidence.signed_form import FormRefused, verify_signed_form
from freehold.domain.ceremonies.evidence.timestamps import obtain_stamp
from freehold.domain.ceremonies.people import NotYours, check_distinct, is_sole, requester_of
from freehold.domain.ceremonies.pieces import Piece, add_piece, of_kind, pieces_of, plain
from freehold.domain.ceremonies.policy import Policy
from freehold.domain.ceremonies.progress import settle
from freehold.domain.ceremonies.proofs import Decision, count_code, prove_by_code, prove_by_passkey
from freehold.domain.ceremonies.records import Ceremony, ChangedMeanwhile, WrongState, get_ceremony
from freehold.kernel.clock import iso
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store

PENDING = "requirements_pending"


async def decide(
    attempt: Attempt,
    ceremony_id: str,
    decision: Decision,
    *,
    response: dict[str, Any] | None = None,
    code: str = "",
    digest_groups: str = "",
    reason: str = "",
    version: int | None = None,
) -> Ceremony:
    """Confirm, or reject and so end it, with a passkey's signature (`response`) or an authenticator's code.

    With a code the digest's groups are typed as well, so that it is this request that is meant.
    """
    asked = {"decision": decision, "code": code, "reason": reason, "passkey": response is not None}
    if (done := await earlier_answer(attempt, decision, ceremony_id, asked)) is not None:
        return done
    if response is None:
        await count_code(attempt, decision, ceremony_id)

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        pieces = await _pieces(acted, ceremony)
        requester = await requester_of(acted.tx, acted.tenant, ceremony)
        if acted.person.id == requester.id:
            raise NotYours("Another administrator than the requester decides.")
        before = await valid_approvers(acted.tx, acted.tenant, ceremony, pieces, acted.policy)
        if decision == "approve":
            await check_distinct(acted.tx, acted.tenant, acted.person, [requester, *before], acted.policy)
        if response is not None:
            proof = await prove_by_passkey(acted, ceremony, decision, response)
        else:
            proof = await prove_by_code(acted, ceremony, decision, code=code, typed=digest_groups)
        details = {"method": proof["method"], "assurance": proof["assurance"]}
        await add_piece(acted.tx, acted.tenant, ceremony, "approval", subject=acted.person.id, details=proof)
        if decision == "reject":
            return await acted.move(ceremony, "cancel", reason=reason[:500] or "rejected", details=details)
        noted = await acted.note(ceremony, "approve", details=details, notice="approved")
        return await settle(acted.tx, acted.tenant, noted, acted.policy)

    return await perform(
        attempt, decision, ceremony_id, body, asked=asked, version=version, forward=decision == "approve"
    )


async def upload_form(
    attempt: Attempt, ceremony_id: str, kind: SignatureKind, upload: bytes, *, version: int | None = None
) -> Ceremony:
    """Hand in the signed form. A scan counts once a second administrator says whose signature it shows."""
    asked = {"kind": kind, "sha256": sha256(upload).hexdigest()}
    if (done := await earlier_answer(attempt, "sign", ceremony_id, asked)) is not None:
        return done
    seen = await get_ceremony(attempt.store, attempt.tenant, ceremony_id)
    try:
        if seen.state != PENDING:
            raise WrongState(seen.state)
        check_kind(seen, kind, attempt.policy_for(seen))
        pieces = await pieces_of(attempt.store, attempt.tenant, seen)
        verifier = attempt.acting.administrator.email
        signature, compared = await verified(
            attempt.store, attempt.tenant, attempt.policy_for(seen), seen, kind, upload, form_of(pieces),
            verifier=verifier,
        )  # fmt: skip
        stamp = await stamped(attempt.settings, attempt.policy_for(seen), upload, now=attempt.tenant.clock.now())
    except FreeholdError as error:
        await record_refusal(attempt, "sign", ceremony_id, error)
        raise

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        await _pieces(acted, ceremony)
        if ceremony.digest != seen.digest:
            raise ChangedMeanwhile
        await check_executive(acted.tx, acted.tenant, ceremony, compared["executive"], acted.policy)
        await _check_strength(acted, ceremony, kind)
        await add_piece(
            acted.tx, acted.tenant, ceremony, "signature", subject="form", content=upload,
            details={"kind": kind, "uploaded_by": acted.person.id, "signature": plain(signature), **compared},
        )  # fmt: skip
        said = {
            "kind": kind, "signer": signature.signer, "assurance": signature.assurance,
            "fingerprint": signature.fingerprint,
        }  # fmt: skip
        if stamp is not None:
            token, details = stamp
            await add_piece(
                acted.tx, acted.tenant, ceremony, "timestamp", subject="form", content=token, details=details
            )
            said["stamped_at"] = details["at"]
        noted = await acted.note(ceremony, "sign", notice="signed", details=said)
        return await settle(acted.tx, acted.tenant, noted, acted.policy)

    return await perform(attempt, "sign", ceremony_id, body, asked=asked, version=version)


async def confirm_scan(attempt: Attempt, ceremony_id: str, *, channel: str, version: int | None = None) -> Ceremony:
    """Say that the scanned signature is the executive's, and by which other channel that was confirmed."""

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        pieces = await _pieces(acted, ceremony)
        scans = [piece for piece in of_kind(pieces, "signature") if piece.details["kind"] == "scan"]
        if not scans or not channel.strip():
            raise WrongState(ceremony.state)
        requester = await requester_of(acted.tx, acted.tenant, ceremony)
        uploader = await get_administrator(acted.tx, acted.tenant, scans[0].details["uploaded_by"])
        await check_distinct(acted.tx, acted.tenant, acted.person, [requester, uploader], acted.policy)
        await add_piece(
            acted.tx, acted.tenant, ceremony, "scan_check", subject=acted.person.id,
            details={"person": acted.person.email, "channel": channel[:200]},
        )  # fmt: skip
        noted = await acted.note(ceremony, "confirm_scan", details={"channel": channel[:200]}, notice="signed")
        return await settle(acted.tx, acted.tenant, noted, acted.policy)

    return await perform(attempt, "confirm_scan", ceremony_id, body, asked={"channel": channel}, version=version)


async def stamped(
    settings: Settings, policy: Policy, upload: bytes, *, now: datetime
) -> tuple[bytes, dict[str, Any]] | None:
    """The time stamp of what was handed in, and what it was compared with, if there has to be one. Raises NoStamp."""
    if not policy.time_stamps:
        return None
    stamp, authorities = await obtain_stamp(settings, upload, now=now)
    return stamp.token, {
        "at": iso(stamp.at), "authority": stamp.authority, "serial": stamp.serial, "authorities": list(authorities),
        "sha256": sha256(upload).hexdigest(), "verified_at": iso(now),
    }  # fmt: skip


def check_kind(ceremony: Ceremony, kind: SignatureKind, policy: Policy) -> None:
    """Refuse a scan where the policy does. Raises FormRefused."""
    if kind != "scan" or policy.allow_scan == "always":
        return
    if policy.allow_scan == "never" or "private_keys" in ceremony.request.kinds:
        raise FormRefused("scan_not_allowed", "A scanned signature is not accepted here. Sign the form digitally.")


def signature_policy(ceremony: Ceremony, policy: Policy) -> SignaturePolicy:
    """The rules for a ceremony's signature."""
    domain = ceremony.request.domain
    host = domain.rpartition(":")[0] if ":" in domain else domain
    return SignaturePolicy(
        allow_scan=policy.allow_scan != "never",
        allow_scan_for_private_keys=policy.allow_scan == "always",
        allow_modern_keys=policy.allow_modern_keys,
        rp_id=host,
        origins=(f"https://{domain}",),
    )


async def _check_strength(acted: Acted, ceremony: Ceremony, kind: SignatureKind) -> None:
    """Refuse at once what would not count in the end for a requester who is alone. Raises FormRefused."""
    requester = await requester_of(acted.tx, acted.tenant, ceremony)
    if kind not in SOLE_SIGNATURES and await is_sole(acted.tx, acted.tenant, requester):
        raise FormRefused("weak_signature", "Here the form has to be signed with a certificate or a passkey.")


async def _pieces(acted: Acted, ceremony: Ceremony) -> list[Piece]:
    """What was accepted so far; nobody signs before the requester has shown that the key works."""
    if ceremony.state != PENDING:
        raise WrongState(ceremony.state)
    pieces = await pieces_of(acted.tx, acted.tenant, ceremony)
    form_of(pieces)
    return pieces


def form_of(pieces: list[Piece]) -> Piece:
    """The form as it was issued. Raises WrongState before that."""
    forms = of_kind(pieces, "form")
    if len(forms) != 1:
        raise WrongState("requirements_pending without proof that the key works")
    return forms[0]


async def verified(
    store: Store,
    tenant: TenantScope,
    policy: Policy,
    ceremony: Ceremony,
    kind: SignatureKind,
    upload: bytes,
    form: Piece,
    *,
    verifier: str,
) -> tuple[FormSignature, dict[str, Any]]:
    """The signature on the form, and what it was compared with. Raises FormRefused."""
    enrolled = await get_executive(store, tenant, ceremony.request.executive.id)
    anchors = await anchors_of(store, tenant)
    rules = signature_policy(ceremony, policy)
    check_settled(
        enrolled, await list_anchors(store, tenant), now=tenant.clock.now(),
        minimum_age=timedelta(hours=policy.executive_min_age_h),
    )  # fmt: skip
    now = tenant.clock.now()
    signature = await verify_signed_form(
        upload, kind=kind, issued=form.content, digest=bytes.fromhex(ceremony.digest), executive=enrolled.signatory,
        anchors=anchors, now=now, policy=rules, verifier=verifier, kinds=ceremony.request.kinds,
    )  # fmt: skip
    return signature, {
        "executive": plain(enrolled.signatory),
        "anchors": plain(list(anchors)),
        "policy": plain(rules),
        "verifier": verifier,
        "verified_at": iso(now),
    }
