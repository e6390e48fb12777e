"""Pouring users into a tenant: many rows in few commits, with their hashes, factors and linked identities.

Whoever imports reads and validates its own format and hands over finished users. This module decides who is there
already, refuses identifiers that would find another account, and writes a batch as a whole, so that a user never
stands without what came with them. A batch that is given again changes nothing, which makes a crash harmless.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from freehold.domain.users import linked
from freehold.domain.users.accounts import IDENTIFIERS
from freehold.domain.users.credentials import CURRENT, IMPORTED
from freehold.domain.users.documents import LOGIN_PROVIDERS, MFA_SECRETS, PASSWORD_HASHES, USERS, User
from freehold.domain.users.documents import realm as realm_of
from freehold.domain.users.identifiers import canonical_email, canonical_username, is_email, is_phone_number
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.compile import table_of
from freehold.kernel.store import UniqueViolation, Values
from freehold.kernel.store.bulk import BulkWriter

BATCH_USERS = 4000
"""So many that a commit is cheap and so few that a server beside it is not held up."""

Result = Literal["inserted", "completed", "present", "conflict"]

_TABLE = table_of(USERS)
_COLUMNS = tuple(column.name for column in _TABLE.columns)
_ORDER = (
    "tenant_id", "id", "version", "created_at", "updated_at", "document", "last_login", "last_ip", "logins_count",
    "ix_email", "ix_username", "ix_phone_number", "ix_connection", "ix_realm",
)  # fmt: skip
assert set(_COLUMNS) == set(_ORDER), "the users table changed: write its rows here too"
_VAULT_COLUMNS = ("tenant_id", "kind", "owner", "name", "sealed")
_LINKED_COLUMNS = tuple(column.name for column in linked.TABLE.columns)

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

_encode = msgspec.json.Encoder().encode


class Arrival(msgspec.Struct, gc=False):
    """One user on the way in, validated: the profile as it will stand, and what goes into the vault."""

    place: int
    """Line or position in the source, for reports."""
    user: User
    hashes: tuple[tuple[str, str], ...] = ()
    """Full identity id and storage string of the hash, for each identity with a password."""
    factors: tuple[tuple[str, bytes], ...] = ()
    """Name and content of each factor, as they stand in the vault."""
    imported: bool = False
    """The hash is to be replaced by one of ours at the first sign-in, whatever its kind."""


class Outcome(msgspec.Struct, gc=False):
    """What became of one arrival."""

    arrival: Arrival
    result: Result
    kind: str = ""
    """The kind of identifier that is taken, `user_id` included."""
    other: str = ""
    """The id of the user who has it."""


@dataclass(slots=True)
class _Batch:
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    sealed: list[tuple[Any, ...]] = field(default_factory=list)
    linked: list[tuple[Any, ...]] = field(default_factory=list)


def write_users(writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Write a batch in one commit; answers what became of each arrival, in their order.

    A user who is there stays as they are and only gets a hash or factors that they lack (`completed`). The commit is
    the last thing done: when this returns, all of it is durable; when it raises, nothing of it happened.
    """
    try:
        return _write(writer, tenant, arrivals)
    except UniqueViolation:
        # On PostgreSQL somebody else can take an identifier between the look and the insert: look again.
        return _write(writer, tenant, arrivals)


def look_for_users(writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival]) -> list[Outcome]:
    """What `write_users` would make of a batch; nothing is written."""
    writer.begin()
    try:
        return _sort_out(writer, tenant, arrivals)
    finally:
        writer.rollback()


def _write(writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival]) -> list[Outcome]:
    writer.begin()
    try:
        outcomes = place_users(writer, tenant, arrivals, complete=True)
        writer.commit()
    except BaseException:
        writer.rollback()
        raise
    return outcomes


def place_users(
    writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival], *, complete: bool
) -> list[Outcome]:
    """Like `write_users`, as a part of the caller's own batch; with `complete`, users who are there get what they lack.

    Raises UniqueViolation when somebody took an identifier meanwhile, which only PostgreSQL allows.
    """
    outcomes = _sort_out(writer, tenant, arrivals)
    batch = _Batch()
    for outcome in outcomes:
        if outcome.result == "inserted":
            _add(batch, tenant, outcome.arrival)
    if complete:
        _complete(writer, tenant, batch, outcomes)
    if batch.rows:
        writer.insert("users", _ORDER, batch.rows)
    if batch.sealed:
        writer.insert(vault.VAULT_TABLE.name, _VAULT_COLUMNS, batch.sealed)
    if batch.linked:
        writer.insert(linked.TABLE.name, _LINKED_COLUMNS, batch.linked)
    return outcomes


# --- who is there, and whose identifiers are free ----------------------------------------------------------------


def _sort_out(writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival]) -> list[Outcome]:
    present, owners = _present(writer, tenant, arrivals)
    wanted = [_identifiers(arrival.user) for arrival in arrivals]
    held = _held(writer, tenant, wanted)
    outcomes = []
    for arrival, (own, clashing) in zip(arrivals, wanted, strict=True):
        user_id = arrival.user.user_id
        if user_id in present:
            outcomes.append(Outcome(arrival, "present", "user_id", user_id))
            continue
        taken = _taken_identity(arrival.user, present, owners)
        if taken is not None:
            outcomes.append(Outcome(arrival, "conflict", "user_id", taken))
            continue
        clash = next((key for key in clashing if key in held), None)
        if clash is not None:
            outcomes.append(Outcome(arrival, "conflict", clash[0], held[clash]))
            continue
        present.add(user_id)
        for key in own:
            held[key] = user_id
        for identity in _identities(arrival.user)[1:]:
            owners[identity] = user_id
        outcomes.append(Outcome(arrival, "inserted"))
    return outcomes


def _taken_identity(user: User, present: set[str], owners: dict[str, str]) -> str | None:
    """The user who has one of these identities already."""
    for identity in _identities(user):
        if identity in owners:
            return owners[identity]
        if identity in present:
            return identity
    return None


def _present(writer: BulkWriter, tenant: TenantScope, arrivals: Sequence[Arrival]) -> tuple[set[str], dict[str, str]]:
    """The ids of users that are there, and of all their identities that belong to another user, that user."""
    ids = [arrival.user.user_id for arrival in arrivals]
    present = {row[0] for row in writer.all(_PRESENT, tenant_id=tenant.id, values=Values(ids))}
    owners: dict[str, str] = {}
    if writer.one(_ANY_LINKED, tenant_id=tenant.id):
        identities = [identity for arrival in arrivals for identity in _identities(arrival.user)]
        owners.update(writer.all(_LINKED_PRESENT, tenant_id=tenant.id, values=Values(identities)))
    secondary = [i for arrival in arrivals if len(arrival.user.identities) > 1 for i in _identities(arrival.user)[1:]]
    if secondary:
        for row in writer.all(_PRESENT, tenant_id=tenant.id, values=Values(secondary)):
            owners.setdefault(row[0], row[0])
    return present, owners


Key = tuple[str, str, str]


def _identifiers(user: User) -> tuple[list[Key], list[Key]]:
    """The identifiers a user signs in with as (kind, canonical value, realm), and those no other may have."""
    first = user.identities[0]
    provider = first["provider"]
    realm = first["connection"] if provider in LOGIN_PROVIDERS else f"{provider}|{first['user_id']}"
    if user.username is UNSET and user.phone_number is UNSET and len(user.identities) == 1:  # nearly everybody
        if user.email is UNSET:
            return [], []
        mail = ("email", canonical_email(user.email), realm)
        return [mail], [mail, ("username", canonical_username(user.email), realm)]
    own: list[Key] = []
    clashing: list[Key] = []
    if user.email is not UNSET:
        value = canonical_email(user.email)
        own.append(("email", value, realm))
        clashing += [own[-1], ("username", canonical_username(user.email), realm)]
    if user.username is not UNSET:
        own.append(("username", canonical_username(user.username), realm))
        clashing.append(own[-1])
        if is_email(user.username):
            clashing.append(("email", canonical_email(user.username), realm))
        if is_phone_number(user.username):
            clashing.append(("phone_number", user.username, realm))
    if user.phone_number is not UNSET:
        own.append(("phone_number", user.phone_number, realm))
        clashing += [own[-1], ("username", user.phone_number, realm)]
    if len(user.identities) > 1:
        for identity in user.identities[1:]:
            profile = identity.get("profileData") or {}
            place = realm_of(identity)
            if profile.get("email"):
                own.append(("email", canonical_email(profile["email"]), place))
            if profile.get("username"):
                own.append(("username", canonical_username(profile["username"]), place))
            if profile.get("phone_number"):
                own.append(("phone_number", profile["phone_number"], place))
    return own, clashing


def _held(writer: BulkWriter, tenant: TenantScope, wanted: Iterable[tuple[list[Key], list[Key]]]) -> dict[Key, str]:
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


def _identities(user: User) -> list[str]:
    return [f"{identity['provider']}|{identity['user_id']}" for identity in user.identities]


# --- the rows ----------------------------------------------------------------------------------------------------


def _add(batch: _Batch, tenant: TenantScope, arrival: Arrival) -> None:
    user = arrival.user
    first = user.identities[0]
    connection, provider = first["connection"], first["provider"]
    last_login, last_ip, logins_count = user.last_login, user.last_ip, user.logins_count
    if last_login is UNSET and last_ip is UNSET and logins_count is UNSET:
        document = _encode(user).decode()
    else:
        user.last_login = user.last_ip = user.logins_count = UNSET
        document = _encode(user).decode()
        user.last_login, user.last_ip, user.logins_count = last_login, last_ip, logins_count
    created = updated = _ms(user.created_at)
    if user.updated_at != user.created_at:
        updated = _ms(user.updated_at)
    batch.rows.append(
        (
            tenant.id,
            user.user_id,
            1,
            created,
            updated,
            document,
            None if last_login is UNSET else last_login,
            None if last_ip is UNSET else last_ip,
            None if logins_count is UNSET else logins_count,
            None if user.email is UNSET else canonical_email(user.email),
            None if user.username is UNSET else canonical_username(user.username),
            None if user.phone_number is UNSET else user.phone_number,
            connection,
            connection if provider in LOGIN_PROVIDERS else f"{provider}|{first['user_id']}",
        )
    )
    for identity, stored in arrival.hashes:
        _seal(batch, tenant, PASSWORD_HASHES.name, identity, _hash_name(arrival), stored.encode())
    for name, content in arrival.factors:
        _seal(batch, tenant, MFA_SECRETS.name, user.user_id, name, content)
    if len(user.identities) > 1:
        for row in linked.rows_of(tenant, user.user_id, user.identities):
            batch.linked.append(tuple(row[column] for column in _LINKED_COLUMNS))


def _ms(moment: str) -> int:
    """Milliseconds since the epoch; times without an offset are taken as UTC."""
    found = datetime.fromisoformat(moment)
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _complete(writer: BulkWriter, tenant: TenantScope, batch: _Batch, outcomes: list[Outcome]) -> None:
    """Give users who are there the hash and the factors that they lack; what they have stays."""
    there = [n for n, o in enumerate(outcomes) if o.result == "present" and (o.arrival.hashes or o.arrival.factors)]
    if not there:
        return
    arrivals = [outcomes[n].arrival for n in there]
    with_hash = _sealed(writer, tenant, PASSWORD_HASHES.name, [i for a in arrivals for i, _ in a.hashes])
    with_factor = _sealed(writer, tenant, MFA_SECRETS.name, [a.user.user_id for a in arrivals if a.factors])
    for number in there:
        arrival, before = outcomes[number].arrival, len(batch.sealed)
        own = set(_identities(arrival.user))
        for identity, stored in arrival.hashes:
            if identity in own and not with_hash.get(identity, set()) & {CURRENT, IMPORTED}:
                _seal(batch, tenant, PASSWORD_HASHES.name, identity, _hash_name(arrival), stored.encode())
                with_hash.setdefault(identity, set()).add(CURRENT)
        for name, content in arrival.factors:
            if name not in with_factor.setdefault(arrival.user.user_id, set()):
                _seal(batch, tenant, MFA_SECRETS.name, arrival.user.user_id, name, content)
                with_factor[arrival.user.user_id].add(name)
        if len(batch.sealed) > before:
            outcomes[number] = Outcome(arrival, "completed", "user_id", arrival.user.user_id)


def _sealed(writer: BulkWriter, tenant: TenantScope, kind: str, owners: list[str]) -> dict[str, set[str]]:
    """The names of what each owner has in the vault."""
    found: dict[str, set[str]] = {}
    if owners:
        for owner, name in writer.all(_SEALED, tenant_id=tenant.id, kind=kind, values=Values(owners)):
            found.setdefault(owner, set()).add(name)
    return found


def _seal(batch: _Batch, tenant: TenantScope, kind: str, owner: str, name: str, content: bytes) -> None:
    sealed = tenant.sealer.seal(content, context=vault.context(tenant.id, kind, owner, name))
    batch.sealed.append((tenant.id, kind, owner, name, sealed))


def _hash_name(arrival: Arrival) -> str:
    return IMPORTED if arrival.imported else CURRENT
