"""Pouring users into a tenant: many rows in few commits, with their hashes, factors and linked identities.

Whoever imports reads and validates its own format and hands over batches of finished rows. This module decides who is
there already, refuses identifiers that would find another account, and writes a batch as a whole, so that a user never
stands without what came with them. A batch that is given again changes nothing, which makes a crash harmless.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from freehold.domain.users import linked
from freehold.domain.users.accounts import IDENTIFIERS
from freehold.domain.users.arrivals import LINKED_COLUMNS, Batch, Key, Keys, Sealed
from freehold.domain.users.credentials import CURRENT, IMPORTED
from freehold.domain.users.documents import PASSWORD_HASHES, USERS
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.compile import table_of
from freehold.kernel.store import UniqueViolation, Values
from freehold.kernel.store.bulk import BulkWriter

TABLES = (table_of(USERS), vault.VAULT_TABLE, linked.TABLE)
"""Where rows are put."""
BATCH_USERS = 4000
"""So many that a commit is cheap and so few that a server beside is not held up."""

Result = Literal["completed", "present", "conflict"]

_PRESENT = "select id from users where tenant_id = :tenant_id and one_of(id, :values)"
_LINKED_PRESENT = (
    "select identity, user_id from linked_identities where tenant_id = :tenant_id and one_of(identity, :values)"
)
_SEALED = "select owner, name from vault where tenant_id = :tenant_id and kind = :kind and one_of(owner, :values)"
_ANY = {
    kind: f"select 1 from users where tenant_id = :tenant_id and ix_{kind} is not null limit 1"  # noqa: S608 - kinds
    for kind in IDENTIFIERS
}
_ANY_LINKED = "select 1 from linked_identities where tenant_id = :tenant_id limit 1"
_HELD = {
    kind: f"select ix_{kind}, ix_realm, id from users where tenant_id = :tenant_id "  # noqa: S608 - kinds above
    f"and one_of(ix_{kind}, :values)"
    for kind in IDENTIFIERS
}
_LINKED_HELD = {
    kind: f"select {kind}, realm, user_id from linked_identities where tenant_id = :tenant_id "  # noqa: S608 - kinds
    f"and one_of({kind}, :values)"
    for kind in IDENTIFIERS
}
_IS_HASH = frozenset({CURRENT, IMPORTED})


class Outcome(msgspec.Struct, gc=False):
    """What became of a user who was not simply inserted."""

    number: int
    """Which user of the batch."""
    result: Result
    kind: str = ""
    """The kind of identifier that is taken, `user_id` included."""
    other: str = ""
    """The id of the user who has it."""


def write_users(writer: BulkWriter, tenant: TenantScope, batch: Batch, *, new: bool = False) -> list[Outcome]:
    """Write a batch in one commit; answers what became of those users who were not inserted, in their order.

    A user who is there stays as they are and only gets a hash or factors that they lack (`completed`). The commit is
    the last thing done: when this returns, all of it is durable; when it raises, nothing of it happened.

    With `new`, whoever calls believes that nobody of the batch is there. Then nobody is looked for; the database itself
    finds out if that is wrong, and the batch is begun again.
    """
    try:
        return _write(writer, tenant, batch, new=new)
    except UniqueViolation:
        # It was wrong; or somebody else took an identifier between look and insert, as on PostgreSQL they can.
        return _write(writer, tenant, batch, new=False)


def look_for_users(writer: BulkWriter, tenant: TenantScope, batch: Batch) -> list[Outcome]:
    """What `write_users` would make of a batch; nothing is written."""
    writer.begin()
    try:
        return _sort_out(writer, tenant, batch)
    finally:
        writer.rollback()


def _write(writer: BulkWriter, tenant: TenantScope, batch: Batch, *, new: bool) -> list[Outcome]:
    writer.begin()
    try:
        if new and _only_indexes_tell(writer, tenant, batch):
            outcomes: list[Outcome] = []
            _insert(writer, tenant, batch)
        else:
            outcomes = place_users(writer, tenant, batch, complete=True)
        writer.commit()
    except BaseException:
        writer.rollback()
        raise
    return outcomes


def place_users(writer: BulkWriter, tenant: TenantScope, batch: Batch, *, complete: bool) -> list[Outcome]:
    """Like `write_users`, as a part of the caller's own batch; with `complete`, users who are there get what they lack.

    Raises UniqueViolation when somebody took an identifier meanwhile, which only PostgreSQL allows.
    """
    outcomes = _sort_out(writer, tenant, batch)
    there = {outcome.number for outcome in outcomes}
    _insert(writer, tenant, batch.only([n for n in range(len(batch)) if n not in there]) if there else batch)
    if complete:
        _complete(writer, tenant, batch, outcomes)
    return outcomes


def _insert(writer: BulkWriter, tenant: TenantScope, batch: Batch) -> None:
    if len(batch):
        writer.insert("users", batch.users.columns(), fixed={"tenant_id": tenant.id, "version": 1})
    if batch.linked:
        linked_rows = dict(zip(LINKED_COLUMNS, zip(*batch.linked, strict=True), strict=True))
        writer.insert(linked.TABLE.name, linked_rows, fixed={"tenant_id": tenant.id})
    for sealed in batch.sealed:
        _insert_sealed(writer, tenant, sealed)


def _insert_sealed(writer: BulkWriter, tenant: TenantScope, sealed: Sealed) -> None:
    fixed = {"tenant_id": tenant.id, "kind": sealed.kind, "name": sealed.name}
    writer.insert(vault.VAULT_TABLE.name, {"owner": sealed.owners, "sealed": sealed.values}, fixed=fixed)


# --- who is there, and whose identifiers are free ----------------------------------------------------------------


def _only_indexes_tell(writer: BulkWriter, tenant: TenantScope, batch: Batch) -> bool:
    """Whether the unique indexes find every clash: they hold e-mail addresses to each other, but not to user names."""
    if batch.unusual or batch.linked:
        return False
    return not writer.one(_ANY["username"], tenant_id=tenant.id) and not writer.one(_ANY_LINKED, tenant_id=tenant.id)


def _sort_out(writer: BulkWriter, tenant: TenantScope, batch: Batch) -> list[Outcome]:
    links = batch.linked_ids()
    present, owners = _present(writer, tenant, batch, links)
    wanted = [batch.keys(number) for number in range(len(batch))]
    held = _held(writer, tenant, wanted)
    outcomes = []
    for number, (user_id, (own, clashing)) in enumerate(zip(batch.users.id, wanted, strict=True)):
        if user_id in present:
            outcomes.append(Outcome(number, "present", "user_id", user_id))
            continue
        further = links.get(user_id, ())
        taken = _taken_identity((user_id, *further), present, owners)
        if taken is not None:
            outcomes.append(Outcome(number, "conflict", "user_id", taken))
            continue
        clash = next((key for key in clashing if key in held), None)
        if clash is not None:
            outcomes.append(Outcome(number, "conflict", clash[0], held[clash]))
            continue
        present.add(user_id)
        for key in own:
            held[key] = user_id
        for identity in further:
            owners[identity] = user_id
    return outcomes


def _taken_identity(identities: Iterable[str], present: set[str], owners: Mapping[str, str]) -> str | None:
    """The user who has one of these identities already."""
    for identity in identities:
        if identity in owners:
            return owners[identity]
        if identity in present:
            return identity
    return None


def _present(
    writer: BulkWriter, tenant: TenantScope, batch: Batch, links: Mapping[str, list[str]]
) -> tuple[set[str], dict[str, str]]:
    """The ids of users that are there, and of all identities that belong to another user, that user."""
    ids = batch.users.id
    further = [identity for identities in links.values() for identity in identities]
    present = {row[0] for row in writer.all(_PRESENT, tenant_id=tenant.id, values=Values(ids))}
    owners: dict[str, str] = {}
    if writer.one(_ANY_LINKED, tenant_id=tenant.id):
        owners.update(writer.all(_LINKED_PRESENT, tenant_id=tenant.id, values=Values([*ids, *further])))
    if further:
        for row in writer.all(_PRESENT, tenant_id=tenant.id, values=Values(further)):
            owners.setdefault(row[0], row[0])
    return present, owners


def _held(writer: BulkWriter, tenant: TenantScope, wanted: Iterable[Keys]) -> dict[Key, str]:
    """Whose the wanted identifiers are, of those that somebody has."""
    values: dict[str, list[str]] = {kind: [] for kind in IDENTIFIERS}
    for _, clashing in wanted:
        for kind, value, _ in clashing:
            values[kind].append(value)
    held: dict[Key, str] = {}
    any_linked = writer.one(_ANY_LINKED, tenant_id=tenant.id)
    for kind, asked in values.items():
        if not asked:
            continue
        listed = Values(asked)
        if writer.one(_ANY[kind], tenant_id=tenant.id):
            for value, realm, user_id in writer.all(_HELD[kind], tenant_id=tenant.id, values=listed):
                held[kind, value, realm] = user_id
        if any_linked:
            for value, realm, user_id in writer.all(_LINKED_HELD[kind], tenant_id=tenant.id, values=listed):
                held[kind, value, realm] = user_id
    return held


# --- users who are there -------------------------------------------------------------------------------------------


def _complete(writer: BulkWriter, tenant: TenantScope, batch: Batch, outcomes: list[Outcome]) -> None:
    """Give users who are there the hash and the factors that they lack; what they have stays."""
    there = {outcome.number: outcome for outcome in outcomes if outcome.result == "present"}
    for sealed in batch.sealed if there else ():
        given = [(place, number) for place, number in enumerate(sealed.numbers) if number in there]
        had = _names(writer, tenant, sealed.kind, [sealed.owners[place] for place, _ in given])
        # One hash is enough, whichever of the two it is; of factors, each by its name.
        enough = _IS_HASH if sealed.kind == PASSWORD_HASHES.name else {sealed.name}
        lacking = []
        for place, number in given:
            names = had.setdefault(sealed.owners[place], set())
            if not names & enough:
                names.add(sealed.name)
                lacking.append(place)
                there[number].result = "completed"
        if lacking:
            _insert_sealed(writer, tenant, sealed.only(lacking, [sealed.numbers[place] for place in lacking]))


def _names(writer: BulkWriter, tenant: TenantScope, kind: str, owners: list[str]) -> dict[str, set[str]]:
    """The names of what each owner has in the vault."""
    found: dict[str, set[str]] = {}
    if owners:
        for owner, name in writer.all(_SEALED, tenant_id=tenant.id, kind=kind, values=Values(owners)):
            found.setdefault(owner, set()).add(name)
    return found
