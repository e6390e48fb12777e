"""Executives who may sign forms, and authorities whose certificates count: enrolled before a ceremony needs them.

An administrator enrols them, which is recorded. What was enrolled or changed a moment ago proves little, because
whoever asks for an export could have done it; `check_settled` asks for some age. What is brought for enrolment is
checked first, outside of a transaction, by `material` and `recipient_key`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from freehold.domain import audit
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies.evidence.material import Certificate
from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy, RecipientKey, check_recipient_key
from freehold.domain.ceremonies.evidence.signatories import Executive, ExecutivePasskey, TrustAnchor
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from freehold.kernel.store import Reader, Row, Transaction, UniqueViolation

LONGEST_NAME = 200
MOST_CERTIFICATES = MOST_PASSKEYS = 5
MOST_CRLS = 10

_EXECUTIVE = """select id, name, title, email, certificates, openpgp_key, passkeys, enrolled_at_ms, enrolled_by,
changed_at_ms, changed_by from executives where tenant_id = :tenant_id """
_ANCHOR = """select id, name, fingerprint, certificate, crls, enrolled_at_ms, enrolled_by from trust_anchors
where tenant_id = :tenant_id """


class EnrolledExecutive(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was enrolled; `signatory` is what a signature is compared with."""

    id: str
    name: str
    title: str
    email: str
    signatory: Executive
    enrolled_at_ms: int
    enrolled_by: str
    changed_at_ms: int
    changed_by: str


class EnrolledAnchor(msgspec.Struct, frozen=True, kw_only=True):
    """An authority that was enrolled."""

    id: str
    fingerprint: str
    anchor: TrustAnchor
    enrolled_at_ms: int
    enrolled_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """By what an executive's signature is recognized: checked certificates, a checked OpenPGP key, or neither.

    Without certificates of their own, those of an enrolled authority with their e-mail count.
    """

    certificates: tuple[Certificate, ...] = ()
    openpgp_key: RecipientKey | None = None


class NotSettled(Forbidden):
    """403: the executive or an authority was enrolled or changed too short a time ago."""

    code = "enrolled_too_recently"


class UnknownExecutive(NotFound):
    """404: no such executive is enrolled."""

    code = "unknown_executive"


async def check_executives_key(armored: str, *, email: str, now: datetime, policy: KeyPolicy) -> RecipientKey:
    """The executive's OpenPGP key, by the rules for recipients; whole, because its subkeys sign. Raises KeyRefused."""
    key = await check_recipient_key(armored, email=email, now=now, retention_days=0, policy=policy)
    return replace(key, certificate=armored)


async def enrol_executive(
    tx: Transaction,
    tenant: TenantScope,
    *,
    name: str,
    title: str,
    email: str,
    material: Material = Material(),
    actor: AuditActor,
) -> EnrolledExecutive:
    """Enrol somebody. Raises Conflict when the address is enrolled already."""
    name, title, email = _line(name, "name"), _line(title, "position"), _line(email, "e-mail")
    if "@" not in email:
        raise BadRequest("That is no e-mail address.", code="invalid_email")
    _check_bounds(material)
    now = tenant.clock.now_ms()
    id_ = new_id("exe_")
    try:
        await tx.run(
            """insert into executives (tenant_id, id, name, title, email, email_key, certificates, openpgp_key,
            openpgp_fingerprint, passkeys, enrolled_at_ms, enrolled_by, changed_at_ms, changed_by)
            values (:tenant_id, :id, :name, :title, :email, :email_key, :certificates, :openpgp_key, :fingerprint, '[]',
            :now, :by, :now, :by)""",
            tenant_id=tenant.id,
            id=id_,
            name=name,
            title=title,
            email=email,
            email_key=canonical_email(email),
            now=now,
            by=actor.id or actor.kind,
            **_columns(material),
        )
    except UniqueViolation:
        raise Conflict("Somebody with this e-mail is enrolled already.", code="executive_exists") from None
    executive = await get_executive(tx, tenant, id_)
    await _record(tx, tenant, "executive.enrolled", actor, executive)
    return executive


async def change_material(
    tx: Transaction, tenant: TenantScope, id_: str, *, material: Material, actor: AuditActor
) -> EnrolledExecutive:
    """Replace certificates and OpenPGP key; passkeys stay. It has to settle anew. Raises UnknownExecutive."""
    _check_bounds(material)
    await tx.run(
        """update executives set certificates = :certificates, openpgp_key = :openpgp_key,
        openpgp_fingerprint = :fingerprint, changed_at_ms = :now, changed_by = :by
        where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id,
        id=id_,
        now=tenant.clock.now_ms(),
        by=actor.id or actor.kind,
        **_columns(material),
    )
    executive = await get_executive(tx, tenant, id_)
    await _record(tx, tenant, "executive.changed", actor, executive)
    return executive


async def put_passkeys(
    tx: Transaction, tenant: TenantScope, id_: str, passkeys: Sequence[ExecutivePasskey], *, actor: AuditActor
) -> EnrolledExecutive:
    """Replace an executive's passkeys; it has to settle anew. Raises UnknownExecutive."""
    if len(passkeys) > MOST_PASSKEYS:
        raise BadRequest(f"One person can have {MOST_PASSKEYS} passkeys.")
    await tx.run(
        """update executives set passkeys = :passkeys, changed_at_ms = :now, changed_by = :by
        where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id,
        id=id_,
        passkeys=msgspec.json.encode([*passkeys]).decode(),
        now=tenant.clock.now_ms(),
        by=actor.id or actor.kind,
    )
    executive = await get_executive(tx, tenant, id_)
    await _record(tx, tenant, "executive.passkeys", actor, executive)
    return executive


async def remove_executive(tx: Transaction, tenant: TenantScope, id_: str, *, actor: AuditActor) -> None:
    """Forget somebody; what they signed stays as it is. Raises UnknownExecutive."""
    executive = await get_executive(tx, tenant, id_)
    await tx.run("delete from executives where tenant_id = :tenant_id and id = :id", tenant_id=tenant.id, id=id_)
    await tx.run(
        "delete from executive_links where tenant_id = :tenant_id and executive_id = :id", tenant_id=tenant.id, id=id_
    )
    await _record(tx, tenant, "executive.removed", actor, executive)


async def find_executive(reader: Reader, tenant: TenantScope, id_: str) -> EnrolledExecutive | None:
    """The executive with this id."""
    row = await reader.one(_EXECUTIVE + "and id = :id", tenant_id=tenant.id, id=id_)
    return None if row is None else _executive(row)


async def get_executive(reader: Reader, tenant: TenantScope, id_: str) -> EnrolledExecutive:
    """The executive with this id. Raises UnknownExecutive."""
    found = await find_executive(reader, tenant, id_)
    if found is None:
        raise UnknownExecutive("No such executive is enrolled.")
    return found


async def list_executives(reader: Reader, tenant: TenantScope) -> list[EnrolledExecutive]:
    """Everybody who is enrolled, by name."""
    return [_executive(row) for row in await reader.all(_EXECUTIVE + "order by name, id", tenant_id=tenant.id)]


def check_settled(
    executive: EnrolledExecutive, anchors: Sequence[EnrolledAnchor], *, now: datetime, minimum_age: timedelta
) -> None:
    """Refuse an executive, or an authority their signature rests on, that is too new. Raises NotSettled."""
    latest = now - minimum_age
    limit = int(latest.timestamp() * 1000)
    if max(executive.enrolled_at_ms, executive.changed_at_ms) > limit:
        raise NotSettled("The executive was enrolled or changed too short a time ago to sign.")
    uses_anchors = not executive.signatory.certificates
    if uses_anchors and any(anchor.enrolled_at_ms > limit for anchor in anchors):
        raise NotSettled("An authority was enrolled too short a time ago to be relied on.")


async def enrol_anchor(
    tx: Transaction,
    tenant: TenantScope,
    *,
    name: str,
    certificate: Certificate,
    crls: Sequence[str] = (),
    actor: AuditActor,
) -> EnrolledAnchor:
    """Enrol an authority with checked lists. Raises Conflict when it is enrolled already."""
    id_ = new_id("anc_")
    try:
        await tx.run(
            """insert into trust_anchors
            (tenant_id, id, name, fingerprint, certificate, crls, enrolled_at_ms, enrolled_by)
            values (:tenant_id, :id, :name, :fingerprint, :certificate, :crls, :now, :by)""",
            tenant_id=tenant.id,
            id=id_,
            name=_line(name, "name"),
            fingerprint=certificate.fingerprint,
            certificate=certificate.certificate,
            crls=_crls(crls),
            now=tenant.clock.now_ms(),
            by=actor.id or actor.kind,
        )
    except UniqueViolation:
        raise Conflict("This authority is enrolled already.", code="anchor_exists") from None
    anchor = await get_anchor(tx, tenant, id_)
    await _record_anchor(tx, tenant, "trust_anchor.enrolled", actor, anchor)
    return anchor


async def put_crls(
    tx: Transaction, tenant: TenantScope, id_: str, crls: Sequence[str], *, actor: AuditActor
) -> EnrolledAnchor:
    """Replace an authority's checked revocation lists; this need not settle. Raises NotFound."""
    await tx.run(
        "update trust_anchors set crls = :crls where tenant_id = :tenant_id and id = :id",
        tenant_id=tenant.id,
        id=id_,
        crls=_crls(crls),
    )
    anchor = await get_anchor(tx, tenant, id_)
    await _record_anchor(tx, tenant, "trust_anchor.crls", actor, anchor)
    return anchor


async def remove_anchor(tx: Transaction, tenant: TenantScope, id_: str, *, actor: AuditActor) -> None:
    """Rely on an authority no more. Raises NotFound."""
    anchor = await get_anchor(tx, tenant, id_)
    await tx.run("delete from trust_anchors where tenant_id = :tenant_id and id = :id", tenant_id=tenant.id, id=id_)
    await _record_anchor(tx, tenant, "trust_anchor.removed", actor, anchor)


async def get_anchor(reader: Reader, tenant: TenantScope, id_: str) -> EnrolledAnchor:
    """The authority with this id. Raises NotFound."""
    row = await reader.one(_ANCHOR + "and id = :id", tenant_id=tenant.id, id=id_)
    if row is None:
        raise NotFound("No such authority is enrolled.", code="unknown_anchor")
    return _anchor(row)


async def list_anchors(reader: Reader, tenant: TenantScope) -> list[EnrolledAnchor]:
    """Every authority that is enrolled, by name."""
    return [_anchor(row) for row in await reader.all(_ANCHOR + "order by name, id", tenant_id=tenant.id)]


async def anchors_of(reader: Reader, tenant: TenantScope) -> tuple[TrustAnchor, ...]:
    """What a signature is compared with."""
    return tuple(enrolled.anchor for enrolled in await list_anchors(reader, tenant))


def _line(text: str, what: str) -> str:
    line = " ".join(text.split())
    if not line or len(line) > LONGEST_NAME or not line.isprintable():
        raise BadRequest(f"The {what} has to be one line of 1 to {LONGEST_NAME} characters.", code="invalid_text")
    return line


def _check_bounds(material: Material) -> None:
    if len(material.certificates) > MOST_CERTIFICATES:
        raise BadRequest(f"One person can have {MOST_CERTIFICATES} certificates.")


def _columns(material: Material) -> dict[str, str]:
    key = material.openpgp_key
    return {
        "certificates": msgspec.json.encode([one.fingerprint for one in material.certificates]).decode(),
        "openpgp_key": key.certificate if key else "",
        "fingerprint": key.fingerprint if key else "",
    }


def _crls(crls: Sequence[str]) -> str:
    if len(crls) > MOST_CRLS:
        raise BadRequest(f"One authority can have {MOST_CRLS} revocation lists.")
    return msgspec.json.encode([*crls]).decode()


async def _record(
    tx: Transaction, tenant: TenantScope, action: str, actor: AuditActor, executive: EnrolledExecutive
) -> None:
    details: dict[str, Any] = {"id": executive.id, **msgspec.to_builtins(executive.signatory)}
    await audit.record(tx, tenant, action=action, actor=actor, details=details)


async def _record_anchor(
    tx: Transaction, tenant: TenantScope, action: str, actor: AuditActor, anchor: EnrolledAnchor
) -> None:
    details = {"id": anchor.id, "name": anchor.anchor.name, "fingerprint": anchor.fingerprint}
    await audit.record(tx, tenant, action=action, actor=actor, details=details)


def _executive(row: Row) -> EnrolledExecutive:
    id_, name, title, email, certificates, openpgp_key, passkeys, enrolled_at, enrolled_by, changed_at, changed_by = row
    return EnrolledExecutive(
        id=id_, name=name, title=title, email=email,
        signatory=Executive(
            name=name, title=title, email=email, openpgp_key=openpgp_key,
            certificates=msgspec.json.decode(certificates, type=tuple[str, ...]),
            passkeys=msgspec.json.decode(passkeys, type=tuple[ExecutivePasskey, ...]),
        ),
        enrolled_at_ms=enrolled_at, enrolled_by=enrolled_by, changed_at_ms=changed_at, changed_by=changed_by,
    )  # fmt: skip


def _anchor(row: Row) -> EnrolledAnchor:
    id_, name, fingerprint, certificate, crls, enrolled_at, enrolled_by = row
    anchor = TrustAnchor(name=name, certificate=certificate, crls=msgspec.json.decode(crls, type=tuple[str, ...]))
    return EnrolledAnchor(
        id=id_, fingerprint=fingerprint, anchor=anchor, enrolled_at_ms=enrolled_at, enrolled_by=enrolled_by
    )
