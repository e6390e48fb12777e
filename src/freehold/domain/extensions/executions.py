"""What custom code did: one record for each run of a trigger, with what went in, what came out, what it printed, and
which hosts it connected to or was not let.

`GET /actions/executions/{id}` shows Auth0's part of it. Values of secrets are masked before anything is kept, and a
record goes after ten days, as at Auth0.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import msgspec

from freehold.domain.extensions.sandbox import Outcome, Script, Visit
from freehold.kernel.clock import iso
from freehold.kernel.declare import Expiry, Operation, Stored, TenantScope
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import NotFound
from freehold.kernel.store import Reader, Row, Writer
from freehold.kernel.store.schema import Column, Table

KEPT_S = 10 * 24 * 3600
LONGEST_TEXT = 256
"""Characters of output that are kept of each piece of code (Auth0 docs, "Actions Limitations")."""
LONGEST_RECORD = 65_536
MASK = "[secret]"
SHORTEST_MASKED = 4

EXECUTIONS = Stored(
    table=Table(
        "executions",
        (
            Column("tenant_id", "text"),
            Column("id", "text"),
            Column("trigger_id", "text"),
            Column("status", "text"),
            Column("results", "text"),
            Column("created_at_ms", "bigint"),
            Column("updated_at_ms", "bigint"),
            Column("expires_at_ms", "bigint"),
        ),
        key=("tenant_id", "id"),
    ),
    json_columns=frozenset({"results"}),
    expiry=(Expiry("expires_at_ms"),),
)

_INSERT = """
insert into executions (tenant_id, id, trigger_id, status, results, created_at_ms, updated_at_ms, expires_at_ms)
values (:tenant_id, :id, :trigger_id, :status, :results, :created_at_ms, :updated_at_ms, :expires_at_ms)
"""


@dataclass(slots=True)
class Execution:
    """One run of a trigger, which is finished or waits for a redirect to come back."""

    trigger_id: str
    started_ms: int
    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "final"
    results: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, name: str, outcome: Outcome, *, given: Any, started_ms: int, ended_ms: int, secrets: Iterable[str] = (),
        script: Script | None = None, function: str = "",
    ) -> None:  # fmt: skip
        """Note how one piece of code ran."""
        hide = Mask(secrets)
        result: dict[str, Any] = {
            "action_name": name,
            "started_at": iso(started_ms),
            "ended_at": iso(ended_ms),
            "duration_ms": round(outcome.duration_ms, 3),
            "given": hide.in_json(given),
            "logs": [{"level": line.level, "text": hide.in_text(line.text)} for line in _kept(outcome)],
        }
        if outcome.visits:
            result["destinations"] = [hide.in_visit(visit) for visit in outcome.visits]
        if outcome.visits_left_out:
            result["destinations_left_out"] = outcome.visits_left_out
        if script is not None:
            known = {"id": script.id, "version": script.version, "code": code_digest(script.code)}
            result["script"] = {**known, "function": function}
        if outcome.error is None:
            result["answered"] = hide.in_json(outcome.value)
            if result["answered"] is None and outcome.value is not None:
                result["cut"] = True
        else:
            message = hide.in_text(f"{outcome.error.type}: {outcome.error.message}")
            result["error"] = {"id": outcome.error.kind, "msg": message, "url": ""}
            self.status = "partial"
        self.results.append(result)

    def hide_members(self, names: Iterable[str]) -> None:
        """Mask members of what the code answered last, whatever they hold."""
        if self.results and self.results[-1].get("answered") is not None:
            self.results[-1]["answered"] = _without(self.results[-1]["answered"], names)


def code_digest(code: str) -> str:
    """Tells the code that ran from what it was before and became."""
    return hashlib.sha256(code.encode()).hexdigest()[:24]


def _without(content: Any, names: Iterable[str]) -> Any:
    if isinstance(content, dict):
        return {key: MASK if key in names else _without(value, names) for key, value in content.items()}
    return [_without(value, names) for value in content] if isinstance(content, list) else content


class Mask:
    """Hides values of secrets in what is kept; short ones would hide half of the text, and are left."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted((value for value in values if len(value) >= SHORTEST_MASKED), key=len, reverse=True)

    def in_text(self, text: str) -> str:
        """The text with every value replaced."""
        for value in self._values:
            text = text.replace(value, MASK)
        return text

    def in_visit(self, visit: Visit) -> dict[str, Any]:
        """A destination. A value may be part of a name, in which capitals do not count."""
        host = visit.host
        for value in self._values:
            host = re.sub(re.escape(value), MASK, host, flags=re.IGNORECASE)
        found: dict[str, Any] = {"host": host, "how": visit.how}
        found |= {"port": visit.port} if visit.port else {}
        found |= {"reason": visit.reason} if visit.reason else {}
        return found | ({"times": visit.times} if visit.times > 1 else {})

    def in_json(self, content: Any) -> Any:
        """The same inside of JSON; what is too large to keep is left out."""
        if self._values:
            content = self._walk(content)
        return content if len(msgspec.json.encode(content)) <= LONGEST_RECORD else None

    def _walk(self, content: Any) -> Any:
        if isinstance(content, str):
            return self.in_text(content)
        if isinstance(content, dict):
            return {name: self._walk(value) for name, value in content.items()}
        if isinstance(content, list | tuple):
            return [self._walk(value) for value in content]
        return content


async def keep(tx: Writer, tenant: TenantScope, execution: Execution) -> None:
    """Store a record."""
    now = tenant.clock.now_ms()
    await tx.run(
        _INSERT, tenant_id=tenant.id, id=execution.id, trigger_id=execution.trigger_id, status=execution.status,
        results=msgspec.json.encode(execution.results).decode(), created_at_ms=execution.started_ms, updated_at_ms=now,
        expires_at_ms=now + KEPT_S * 1000,
    )  # fmt: skip


class Record(msgspec.Struct, frozen=True):
    """An execution as it was kept."""

    id: str
    trigger_id: str
    status: str
    results: list[dict[str, Any]]
    created_at_ms: int
    updated_at_ms: int


async def records_of(
    reader: Reader, tenant: TenantScope, *, trigger: str = "", skip: int = 0, most: int = -1
) -> list[Record]:
    """What was recorded, the latest first."""
    rows = await reader.all(
        """select id, trigger_id, status, results, created_at_ms, updated_at_ms from executions
        where tenant_id = :tenant_id and (:trigger = '' or trigger_id = :trigger)
        order by created_at_ms desc, id limit :most offset :skip""",
        tenant_id=tenant.id, trigger=trigger, most=most if most >= 0 else 1_000_000, skip=skip,
    )  # fmt: skip
    return [_record(row) for row in rows]


async def get_record(reader: Reader, tenant: TenantScope, id_: str) -> Record:
    """One record. Raises NotFound."""
    row = await reader.one(
        """select id, trigger_id, status, results, created_at_ms, updated_at_ms from executions
        where tenant_id = :tenant_id and id = :id""",
        tenant_id=tenant.id, id=id_,
    )  # fmt: skip
    if row is None:
        raise NotFound("That execution does not exist.", code="")
    return _record(row)


def shown(record: Record) -> dict[str, Any]:
    """Auth0's part of a record."""
    members = ("action_name", "error", "started_at", "ended_at")
    return {
        "id": record.id, "trigger_id": record.trigger_id, "status": record.status,
        "results": [{name: each[name] for name in members if name in each} for each in record.results],
        "created_at": iso(record.created_at_ms), "updated_at": iso(record.updated_at_ms),
    }  # fmt: skip


def whole(record: Record) -> dict[str, Any]:
    """A record with what went in, came out and was printed."""
    return {**shown(record), "results": record.results}


def _record(row: Row) -> Record:
    id_, trigger_id, status, results, created_at_ms, updated_at_ms = row
    return Record(id_, trigger_id, status, msgspec.json.decode(results), created_at_ms, updated_at_ms)


async def get_execution(call: Call) -> dict[str, Any]:
    """GET actions/executions/{id}: Auth0's part of a record."""
    return shown(await get_record(call.store, call.tenant, call.params["id"]))


async def keep_all(tx: Writer, tenant: TenantScope, executions: Iterable[Execution]) -> None:
    """Store several records."""
    for execution in executions:
        await keep(tx, tenant, execution)


def summary(executions: Iterable[Execution]) -> dict[str, Any]:
    """What an entry of the tenant log says of them, in `details`."""
    return {"actions": {"executions": [execution.id for execution in executions]}}


def _kept(outcome: Outcome) -> list[Any]:
    kept, size = [], 0
    for line in outcome.logs:
        size += max(1, len(line.text))
        if size > LONGEST_TEXT:
            break
        kept.append(line)
    return kept


OPERATIONS = (
    Operation(
        method="GET", path="actions/executions/{id}", scopes=("read:actions",), handler=get_execution,
        name="actions.executions.get",
    ),
)  # fmt: skip
