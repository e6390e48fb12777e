"""The executive's part without an account: the form comes by mail as a link, and a passkey signs it.

The link alone signs nothing. Who follows it sees the form; the passkey that was enrolled before does the rest.
"""

from typing import Any

from freehold.domain import audit
from freehold.domain.administrators.mail import send
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies import clocks
from freehold.domain.ceremonies.attempts import Acted, Attempt, NotOffered, perform
from freehold.domain.ceremonies.completeness import check_executive
from freehold.domain.ceremonies.deciding import PENDING, form_of, verified
from freehold.domain.ceremonies.evidence.executive_links import (
    ExecutiveLink,
    ExecutiveLinkOver,
    find_executive_link,
    issue_executive_link,
    use_executive_link,
)
from freehold.domain.ceremonies.evidence.executives import get_executive
from freehold.domain.ceremonies.notices import announce
from freehold.domain.ceremonies.pieces import Piece, add_piece, of_kind, pieces_of, plain
from freehold.domain.ceremonies.policy import policy_in_force, policy_of
from freehold.domain.ceremonies.progress import settle
from freehold.domain.ceremonies.records import (
    CameWithAnArchive,
    Ceremony,
    ChangedMeanwhile,
    WrongState,
    began_here,
    get_ceremony,
    note,
)
from freehold.domain.ceremonies.request import groups
from freehold.domain.ceremonies.rollbacks import refusal_of_freeze
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, FreeholdError, Unavailable
from freehold.kernel.store import Reader, Store

MAIL = "executive_signature"
LONGEST_ANSWER = 20_000


class NoPasskey(Conflict):
    """409: the executive has no passkey to sign with."""

    code = "no_passkey"

    def __init__(self) -> None:
        super().__init__("The executive has no passkey yet. Mail them a link to enrol one, or have the PDF signed.")


async def ask_to_sign(attempt: Attempt, ceremony_id: str) -> Ceremony:
    """Mail the executive a link to the form; one that was mailed before is worthless from now on."""

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        if ceremony.state != PENDING:
            raise WrongState(ceremony.state)
        pieces = await pieces_of(acted.tx, acted.tenant, ceremony)
        form_of(pieces)
        if of_kind(pieces, "signature"):
            raise ChangedMeanwhile
        executive = await get_executive(acted.tx, acted.tenant, ceremony.request.executive.id)
        if not executive.signatory.passkeys:
            raise NoPasskey
        value = await issue_executive_link(
            acted.tx, acted.tenant, executive.id, purpose="sign", issued_by=acted.person.id, ceremony_id=ceremony.id,
            digest=ceremony.digest,
        )  # fmt: skip
        request = ceremony.request
        await send(
            acted.tx, acted.tenant, MAIL, executive.email, url=signing_url(acted.tenant, value), name=executive.name,
            by=acted.person.email, kinds=", ".join(request.kinds), ceremony=ceremony.id,
            groups=groups(bytes.fromhex(ceremony.digest)),
        )  # fmt: skip
        return await acted.note(ceremony, "ask_to_sign", details={"executive": executive.email})

    return await perform(attempt, "ask_to_sign", ceremony_id, body)


def signing_url(tenant: TenantScope, value: str) -> str:
    """Where an executive signs."""
    return f"{tenant.issuer}admin/executive/sign?token={value}"


async def form_to_sign(reader: Reader, tenant: TenantScope, value: str) -> tuple[ExecutiveLink, Ceremony, Piece]:
    """What a link shows. Raises ExecutiveLinkOver, also where the request changed since."""
    state, link = await find_executive_link(reader, tenant, value, "sign")
    if state != "open" or link is None:
        raise ExecutiveLinkOver(state)
    ceremony = await get_ceremony(reader, tenant, link.ceremony_id)
    if ceremony.digest != link.digest or ceremony.state != PENDING:
        raise ExecutiveLinkOver("expired")
    pieces = await pieces_of(reader, tenant, ceremony)
    if of_kind(pieces, "signature"):
        raise ExecutiveLinkOver("used")
    return link, ceremony, form_of(pieces)


async def sign_by_link(
    store: Store, tenant: TenantScope, settings: Settings, value: str, response: bytes, *, ip: str = ""
) -> Ceremony:
    """Take the passkey's signature over the form. Raises ExecutiveLinkOver, FormRefused, NotSettled, Incomplete."""
    link, seen, form = await form_to_sign(store, tenant, value)
    actor = AuditActor("executive", id=link.executive.id, email=link.executive.email, ip=ip)
    policy = policy_in_force(settings, tenant, seen.request.policy)
    try:
        signature, compared = await verified(
            store, tenant, policy, seen, "webauthn", response[:LONGEST_ANSWER], form, verifier=""
        )
        async with store.transaction() as tx:
            if not policy_of(settings, tenant).offered:
                raise NotOffered
            if not await clocks.look(tx, tenant):
                raise await refusal_of_freeze(tx, tenant)
            if not await began_here(tx, tenant, seen):
                raise CameWithAnArchive
            _, ceremony, _ = await form_to_sign(tx, tenant, value)
            if ceremony.digest != seen.digest:
                raise ChangedMeanwhile
            await use_executive_link(tx, tenant, value, "sign")
            await check_executive(tx, tenant, ceremony, compared["executive"], policy)
            details: dict[str, Any] = {
                "kind": "webauthn", "uploaded_by": link.executive.id, "signature": plain(signature), **compared,
            }  # fmt: skip
            await add_piece(tx, tenant, ceremony, "signature", subject="form", content=response, details=details)
            noted = await note(
                tx, tenant, ceremony, "sign", actor=actor,
                details={
                    "kind": "webauthn", "signer": signature.signer, "assurance": signature.assurance,
                    "fingerprint": signature.fingerprint,
                },
            )  # fmt: skip
            await announce(tx, tenant, noted, "signed", by=actor)
            return await settle(tx, tenant, noted, policy)
    except FreeholdError as error:
        await _record_refusal(store, tenant, seen, actor, error)
        raise


async def _record_refusal(
    store: Store, tenant: TenantScope, ceremony: Ceremony, actor: AuditActor, error: FreeholdError
) -> None:
    if isinstance(error, Unavailable):
        return
    try:
        async with store.transaction() as tx:
            await audit.record(
                tx, tenant, action="ceremony.refused", actor=actor, ceremony_id=ceremony.id, digest=ceremony.digest,
                details={"step": "sign", "code": error.code},
            )  # fmt: skip
    except Unavailable:
        return
    error.is_recorded = True
