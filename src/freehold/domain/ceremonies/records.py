"""Reading a ceremony, and moving it from state to state.

A move is one conditional update: of two callers who saw the same version one wins, and the other is told. The audit
entry stands in the same transaction, and with it the demand that another place has accepted it.
"""

from typing import Any

import msgspec
from msgspec import Struct

from freehold.domain import audit
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies.request import Request, canonical, digest, parsed
from freehold.domain.ceremonies.states import ACTIVE, LIFETIMES, STEPS, State, Who
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Conflict, Forbidden, NotFound
from freehold.kernel.store import Reader, Transaction, UniqueViolation, Values

COLUMNS = (
    "id, version, state, revision, request, digest, requester_id, created_at_ms, state_since_ms, deadline_ms, "
    "not_before_ms, steady_not_before_ms, start_id, artefact, downloads, reason"
)
_SELECT = f"select {COLUMNS} from ceremonies where tenant_id = :tenant_id "  # noqa: S608 - a constant


class UnknownCeremony(NotFound):
    """404: there is no such ceremony in this tenant."""

    code = "unknown_ceremony"

    def __init__(self) -> None:
        super().__init__("There is no such ceremony.")


class WrongState(Conflict):
    """409: the ceremony is not where this step begins."""

    code = "wrong_state"

    def __init__(self, state: str) -> None:
        super().__init__(f"The ceremony is in the state {state}, in which this cannot be done.")
        self.state = state


class ChangedMeanwhile(Conflict):
    """409: somebody else acted first."""

    code = "changed_meanwhile"

    def __init__(self) -> None:
        super().__init__("The ceremony changed meanwhile. Look at it again.")


class CameWithAnArchive(Conflict):
    """409: a ceremony that was restored is a record, and nothing more."""

    code = "restored"

    def __init__(self) -> None:
        super().__init__("This ceremony came here with an archive. It cannot go on; request the export anew.")


class AnotherIsActive(Conflict):
    """409: one ceremony at a time."""

    code = "another_is_active"

    def __init__(self) -> None:
        super().__init__("The tenant has an active ceremony already. It has to end first.")


class Ceremony(Struct, frozen=True, kw_only=True):
    """A ceremony as it is stored."""

    id: str
    version: int
    state: State
    revision: int
    request_text: str
    digest: str
    requester_id: str
    created_at_ms: int
    state_since_ms: int
    deadline_ms: int | None
    not_before_ms: int | None
    steady_not_before_ms: int | None
    start_id: str
    artefact_text: str
    downloads: int
    reason: str

    @property
    def request(self) -> Request:
        """What is asked for."""
        return parsed(self.request_text)

    @property
    def artefact(self) -> dict[str, Any] | None:
        """What is known of the file: size, digest, counts; None as long as there was none."""
        return msgspec.json.decode(self.artefact_text) if self.artefact_text else None

    @property
    def is_active(self) -> bool:
        """Whether it stands in the way of another one."""
        return self.state in ACTIVE or (self.state == "expired" and bool(self.artefact_text))


def new_ceremony_id() -> str:
    """An id for a new ceremony."""
    return new_id("cer_", 22)


async def find_ceremony(reader: Reader, tenant: TenantScope, ceremony_id: str) -> Ceremony | None:
    """One ceremony, or None."""
    row = await reader.one(_SELECT + "and id = :id", tenant_id=tenant.id, id=ceremony_id)
    return None if row is None else Ceremony(**dict(zip(Ceremony.__struct_fields__, row, strict=True)))


async def get_ceremony(reader: Reader, tenant: TenantScope, ceremony_id: str) -> Ceremony:
    """One ceremony. Raises UnknownCeremony."""
    found = await find_ceremony(reader, tenant, ceremony_id)
    if found is None:
        raise UnknownCeremony
    return found


async def list_ceremonies(reader: Reader, tenant: TenantScope, *, limit: int = 100) -> list[Ceremony]:
    """The tenant's ceremonies, the newest first."""
    rows = await reader.all(_SELECT + "order by created_at_ms desc, id limit :limit", tenant_id=tenant.id, limit=limit)
    return [Ceremony(**dict(zip(Ceremony.__struct_fields__, row, strict=True))) for row in rows]


async def began_here(reader: Reader, tenant: TenantScope, ceremony: Ceremony) -> bool:
    """Whether the ceremony began in this database, and did not come with an archive."""
    row = await reader.one(
        "select 1 from ceremony_homes where tenant_id = :tenant_id and ceremony_id = :id",
        tenant_id=tenant.id,
        id=ceremony.id,
    )
    return row is not None


async def in_states(reader: Reader, tenant: TenantScope, states: frozenset[State]) -> list[Ceremony]:
    """The tenant's ceremonies in these states."""
    rows = await reader.all(_SELECT + "and one_of(state, :states)", tenant_id=tenant.id, states=Values(sorted(states)))
    return [Ceremony(**dict(zip(Ceremony.__struct_fields__, row, strict=True))) for row in rows]


async def insert_draft(tx: Transaction, tenant: TenantScope, request: Request, *, actor: AuditActor) -> Ceremony:
    """A new draft."""
    now = tenant.clock.now_ms()
    await tx.run(
        "insert into ceremony_homes (tenant_id, ceremony_id) values (:tenant_id, :id)",
        tenant_id=tenant.id,
        id=request.ceremony_id,
    )
    await tx.run(
        """insert into ceremonies (tenant_id, id, version, state, revision, request, digest, requester_id,
        created_at_ms, state_since_ms, deadline_ms, start_id, artefact, downloads, reason)
        values (:tenant_id, :id, 1, 'draft', :revision, :request, :digest, :requester_id, :now, :now, :deadline_ms,
        '', '', 0, '')""",
        tenant_id=tenant.id,
        id=request.ceremony_id,
        revision=request.revision,
        request=canonical(request).decode(),
        digest=digest(request).hex(),
        requester_id=request.requester.id,
        now=now,
        deadline_ms=_deadline("draft", now),
    )
    made = await get_ceremony(tx, tenant, request.ceremony_id)
    await audit.record(
        tx, tenant, action="ceremony.draft", actor=actor, ceremony_id=made.id, digest=made.digest,
        details={"to": "draft", "revision": made.revision, "policy": request.policy},
    )  # fmt: skip
    return made


async def move(
    tx: Transaction,
    tenant: TenantScope,
    ceremony: Ceremony,
    step_name: str,
    *,
    actor: AuditActor,
    details: dict[str, Any] | None = None,
    request: Request | None = None,
    reason: str | None = None,
    artefact: dict[str, Any] | None = None,
    not_before_ms: int | None = None,
    deadline_ms: int | None = None,
    downloads: int = 0,
) -> Ceremony:
    """Take one step of the table, with its audit entry. Raises WrongState, ChangedMeanwhile, AnotherIsActive."""
    step = STEPS[step_name]
    if ceremony.state not in step.sources:
        raise WrongState(ceremony.state)
    if not step.who & _roles(ceremony, actor):
        raise Forbidden("This step is for somebody else.", code="not_yours")
    now = tenant.clock.now_ms()
    new_digest = ceremony.digest if request is None else digest(request).hex()
    waits = None if not_before_ms is None else max(0, not_before_ms - now)
    try:
        moved = await tx.run(
            """update ceremonies set state = :target, version = version + 1, revision = :revision, request = :request,
            digest = :digest, state_since_ms = :now, deadline_ms = :deadline_ms, not_before_ms = :not_before_ms,
            steady_not_before_ms = :steady_not_before_ms, start_id = :start_id, artefact = :artefact,
            downloads = downloads + :downloads, reason = :reason
            where tenant_id = :tenant_id and id = :id and version = :version and state = :source""",
            target=step.target,
            revision=ceremony.revision if request is None else request.revision,
            request=ceremony.request_text if request is None else canonical(request).decode(),
            digest=new_digest,
            now=now,
            deadline_ms=deadline_ms
            or _deadline(step.target, now)
            or (ceremony.deadline_ms if step.target == "downloaded" else None),
            not_before_ms=not_before_ms,
            steady_not_before_ms=None if waits is None else tenant.clock.steady_ms() + waits,
            start_id=tenant.clock.start_id() if waits is not None else "",
            artefact=ceremony.artefact_text
            if artefact is None
            else msgspec.json.encode(artefact, order="sorted").decode(),
            downloads=downloads,
            reason=ceremony.reason if reason is None else reason,
            tenant_id=tenant.id,
            id=ceremony.id,
            version=ceremony.version,
            source=ceremony.state,
        )
    except UniqueViolation as error:
        if error.index == "ceremonies_one_active":
            raise AnotherIsActive from None
        raise
    if not moved:
        raise ChangedMeanwhile
    relaxed = (request or ceremony.request).policy.get("relaxed", [])
    await audit.record(
        tx, tenant, action=f"ceremony.{step_name}", actor=actor, ceremony_id=ceremony.id, digest=new_digest,
        details={
            "from": ceremony.state, "to": step.target, "relaxed": relaxed,
            **({"reason": reason} if reason else {}), **(details or {}),
        },
    )  # fmt: skip
    return await get_ceremony(tx, tenant, ceremony.id)


async def note(
    tx: Transaction,
    tenant: TenantScope,
    ceremony: Ceremony,
    action: str,
    *,
    actor: AuditActor,
    details: dict[str, Any],
    downloads: int = 0,
    deadline_ms: int | None = None,
) -> Ceremony:
    """Record what changes the ceremony without moving it; its version grows. Raises ChangedMeanwhile."""
    changed = await tx.run(
        """update ceremonies set version = version + 1, downloads = downloads + :downloads, deadline_ms = :deadline_ms
        where tenant_id = :tenant_id and id = :id and version = :version and state = :state""",
        deadline_ms=deadline_ms or ceremony.deadline_ms,
        downloads=downloads,
        tenant_id=tenant.id,
        id=ceremony.id,
        version=ceremony.version,
        state=ceremony.state,
    )
    if not changed:
        raise ChangedMeanwhile
    await audit.record(
        tx, tenant, action=f"ceremony.{action}", actor=actor, ceremony_id=ceremony.id, digest=ceremony.digest,
        details={"state": ceremony.state, "relaxed": ceremony.request.policy.get("relaxed", []), **details},
    )  # fmt: skip
    return await get_ceremony(tx, tenant, ceremony.id)


def _roles(ceremony: Ceremony, actor: AuditActor) -> set[Who]:
    if actor.kind == "operator":
        return {"operator"}
    if actor.kind == "system":
        return {"system"}
    if actor.kind != "administrator":
        return set()
    return {"administrator", "requester"} if actor.id == ceremony.requester_id else {"administrator"}


def _deadline(state: State, now: int) -> int | None:
    lifetime = LIFETIMES.get(state)
    return None if lifetime is None else now + int(lifetime.total_seconds() * 1000)
