"""A finished export's row and key: made together, read while the export may be released, ended together."""

import base64
from typing import Any

import msgspec

from freehold.domain.administrators import Administrator, find_administrator
from freehold.domain.ceremonies.records import find_ceremony
from freehold.domain.ceremonies.states import WITH_FILE
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Reader, Row, Transaction
from freehold.surfaces.ceremony.delivery.deadlines import Measured, Uptime, UptimeReader, begin, read_uptime

_COLUMNS = """id, ceremony_id, digest, requester_id, place, state, size, sealed_size, sha256, recipients, counts,
created_at_ms, expires_at_ms, seen_ms, elapsed_ms, boot_id, boot_ms, download_limit, ends_with_download, downloads,
sent_bytes, destroyed_at_ms, destroyed_because, traces, unrecorded"""
_SELECT = f"select {_COLUMNS} from ceremony_artefacts where tenant_id = :tenant_id "  # noqa: S608 - constant
_INSERT = """
insert into ceremony_artefacts (tenant_id, id, ceremony_id, digest, requester_id, place, state, size, sealed_size,
    sha256, recipients, counts, created_at_ms, expires_at_ms, seen_ms, elapsed_ms, boot_id, boot_ms, download_limit,
    ends_with_download, downloads, sent_bytes, traces, unrecorded)
values (:tenant_id, :id, :ceremony_id, :digest, :requester_id, :place, 'ready', :size, :sealed_size,
    :sha256, :recipients, :counts, :created_at_ms, :expires_at_ms, :created_at_ms, 0, :boot_id, :boot_ms, :limit,
    :ends_with_download, 0, 0, 0, 0)
"""
READY, DESTROYED = "ready", "destroyed"


class Gone(FreeholdError):
    """410: what was asked for is not to be had any more; `code` says why."""

    status, code = 410, "export_gone"


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed export as it is kept."""

    id: str
    ceremony_id: str
    digest: str
    requester_id: str
    place: str
    """`folder` or `s3`."""
    state: str
    size: int
    """Of the OpenPGP message, which is what is delivered."""
    sealed_size: int
    sha256: str
    """Of the OpenPGP message, in hexadecimal."""
    recipients: list[str]
    counts: dict[str, Any]
    expires_at_ms: int
    measured: Measured
    download_limit: int
    ends_with_download: bool
    downloads: int
    """How many were sent to the last byte."""
    sent_bytes: int
    destroyed_at_ms: int | None
    destroyed_because: str
    has_traces: bool
    """Destroyed, and something of the file or of the deleted key may still lie about."""
    is_unrecorded: bool
    """Destroyed while the audit log could not be written."""

    @property
    def created_at_ms(self) -> int:
        """When it was finished."""
        return self.measured.created_at_ms

    @property
    def file_name(self) -> str:
        """A name that tells nothing of what is inside."""
        return f"{self.id.replace('_', '-')}.pgp"

    def is_over(self, now_ms: int, uptime: Uptime) -> bool:
        """Whether its time has passed by any measure."""
        return self.measured.looked(now_ms, uptime).reached_ms >= self.expires_at_ms

    def refusal(self, now_ms: int, uptime: Uptime) -> Gone | None:
        """Why it is not released any more."""
        if self.state != READY:
            return Gone(f"The export was destroyed: {self.destroyed_because}.", code="export_destroyed")
        if self.is_over(now_ms, uptime):
            return Gone("The time in which the export could be downloaded has passed.", code="export_expired")
        if self.downloads >= self.download_limit or self.sent_bytes >= self.download_limit * self.size:
            return Gone("The export was downloaded as often as it may be.", code="download_limit_reached")
        return None


class NewArtefact(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a row: a file that is in its place, and what was decided about it."""

    id: str
    ceremony_id: str
    digest: str
    requester_id: str
    place: str
    size: int
    sealed_size: int
    sha256: str
    recipients: list[str]
    counts: dict[str, Any]
    wrapped_key: bytes
    retention_s: int
    download_limit: int = 3
    ends_with_download: bool = False


async def insert_artefact(
    tx: Transaction, tenant: TenantScope, new: NewArtefact, *, uptime: UptimeReader = read_uptime
) -> Artefact:
    """Make the file an export: from here on there is a key to it, and a time at which it ends."""
    now_ms = tenant.clock.now_ms()
    measured = begin(now_ms, uptime())
    await tx.run(
        _INSERT, tenant_id=tenant.id, id=new.id, ceremony_id=new.ceremony_id, digest=new.digest,
        requester_id=new.requester_id, place=new.place, size=new.size, sealed_size=new.sealed_size, sha256=new.sha256,
        recipients=msgspec.json.encode(new.recipients).decode(), counts=msgspec.json.encode(new.counts).decode(),
        created_at_ms=now_ms, expires_at_ms=now_ms + new.retention_s * 1000, boot_id=measured.boot_id,
        boot_ms=measured.boot_ms, limit=new.download_limit, ends_with_download=int(new.ends_with_download),
    )  # fmt: skip
    await tx.run(
        """insert into ceremony_artefact_keys (tenant_id, artefact_id, wrapped)
        values (:tenant_id, :artefact_id, :wrapped)""",
        tenant_id=tenant.id,
        artefact_id=new.id,
        wrapped=new.wrapped_key,
    )
    found = await find_artefact(tx, tenant, new.id)
    assert found is not None
    return found


async def find_artefact(reader: Reader, tenant: TenantScope, artefact_id: str) -> Artefact | None:
    """The export of this id, also one that was destroyed."""
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=artefact_id)
    return None if row is None else _artefact(row)


async def artefact_of(reader: Reader, tenant: TenantScope, ceremony_id: str) -> Artefact | None:
    """The latest export of a ceremony."""
    return next(iter(await artefacts_of(reader, tenant, ceremony_id)), None)


async def artefacts_of(reader: Reader, tenant: TenantScope, ceremony_id: str) -> list[Artefact]:
    """The exports of a ceremony, the latest first; there is one at most."""
    rows = await reader.all(
        _SELECT + "and ceremony_id = :ceremony_id order by created_at_ms desc, id desc",
        tenant_id=tenant.id,
        ceremony_id=ceremony_id,
    )
    return [_artefact(row) for row in rows]


async def all_artefacts(reader: Reader, tenant: TenantScope) -> list[Artefact]:
    """Every export, also those that were destroyed."""
    return [_artefact(row) for row in await reader.all(_SELECT + "order by id", tenant_id=tenant.id)]


async def wrapped_key(reader: Reader, tenant: TenantScope, artefact: Artefact) -> bytes:
    """The export's key, wrapped. Raises Gone."""
    row = await reader.one(
        "select wrapped from ceremony_artefact_keys where tenant_id = :tenant_id and artefact_id = :id",
        tenant_id=tenant.id,
        id=artefact.id,
    )
    if row is None:
        raise Gone("The export was destroyed.", code="export_destroyed")
    return bytes(row[0])


async def released_to(
    reader: Reader, tenant: TenantScope, artefact_id: str, administrator_id: str, *, uptime: UptimeReader = read_uptime
) -> tuple[Artefact, Administrator]:
    """The export and its requester, if it may be released to this administrator now. Raises Gone."""
    artefact = await find_artefact(reader, tenant, artefact_id)
    if artefact is None:
        raise Gone("There is no such export.")
    refusal = artefact.refusal(tenant.clock.now_ms(), uptime())
    if refusal is not None:
        raise refusal
    ceremony = await find_ceremony(reader, tenant, artefact.ceremony_id)
    if ceremony is None or ceremony.state not in WITH_FILE:
        raise Gone("The ceremony has ended, and the export with it.", code="ceremony_ended")
    if artefact.requester_id != administrator_id:
        raise Gone("The export was not made for you.", code="not_the_requester")
    person = await find_administrator(reader, tenant, administrator_id)
    if person is None or person.blocked or not person.may("admin"):
        raise Gone("Whoever asked for the export may not have it any more.", code="role_lost")
    return artefact, person


async def save_measured(tx: Transaction, tenant: TenantScope, artefact: Artefact, measured: Measured) -> None:
    """Keep what the clocks have shown."""
    await tx.run(
        """update ceremony_artefacts set seen_ms = :seen_ms, elapsed_ms = :elapsed_ms, boot_id = :boot_id,
        boot_ms = :boot_ms where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id,
        id=artefact.id,
        seen_ms=measured.seen_ms,
        elapsed_ms=measured.elapsed_ms,
        boot_id=measured.boot_id,
        boot_ms=measured.boot_ms,
    )


def digest_headers(artefact: Artefact) -> list[tuple[str, str]]:
    """The message's SHA-256 in the header of RFC 9530, and in the older one of RFC 3230."""
    encoded = base64.b64encode(bytes.fromhex(artefact.sha256)).decode()
    return [("repr-digest", f"sha-256=:{encoded}:"), ("digest", f"sha-256={encoded}")]


def _artefact(row: Row) -> Artefact:
    (
        id_, ceremony_id, digest, requester_id, place, state, size, sealed_size, sha256, recipients, counts,
        created_at_ms, expires_at_ms, seen_ms, elapsed_ms, boot_id, boot_ms, limit, ends_with_download, downloads,
        sent_bytes, destroyed_at_ms, because, traces, unrecorded,
    ) = row  # fmt: skip
    return Artefact(
        id=id_, ceremony_id=ceremony_id, digest=digest, requester_id=requester_id, place=place, state=state, size=size,
        sealed_size=sealed_size, sha256=sha256, recipients=msgspec.json.decode(recipients),
        counts=msgspec.json.decode(counts), expires_at_ms=expires_at_ms,
        measured=Measured(created_at_ms, seen_ms, elapsed_ms, boot_id, boot_ms), download_limit=limit,
        ends_with_download=bool(ends_with_download), downloads=downloads, sent_bytes=sent_bytes,
        destroyed_at_ms=destroyed_at_ms, destroyed_because=because or "", has_traces=bool(traces),
        is_unrecorded=bool(unrecorded),
    )  # fmt: skip
