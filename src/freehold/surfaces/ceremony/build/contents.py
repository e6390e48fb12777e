"""What goes into a sealed export, read from one snapshot and unwrapped value by value.

Of each kind that was approved: the files that others read, and the part of the open archive from which Freehold
restores. A request for certain connections gets those connections' users alone; the administrators' own credentials
are then left out too.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import msgspec

from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Row, Snapshot, Values
from freehold.surfaces.ceremony.build import formats
from freehold.surfaces.ceremony.build.formats import Identity, Person
from freehold.surfaces.ceremony.build.key_files import PrivateKey, key_files
from freehold.surfaces.ceremony.build.sealing import BuildFailed
from freehold.surfaces.ceremony.build.tar import ExportTar, Lines, numbered
from freehold.surfaces.transfer.archive import PART_BYTES
from freehold.surfaces.transfer.sealed import vault_line

ADMINISTRATORS = "admin|"
"""Owners of administrators' values begin with this; they are nobody's users."""

_IN_USE = frozenset({"", "imported"})
"""Names of the hash that counts; the others are earlier ones."""

_COUNTS = "select kind, count(*), sum(length(sealed)) from vault where tenant_id = :tenant_id group by kind"
_OF_USERS = """
select v.owner, v.name, v.sealed, u.document from vault v
left join users u on u.tenant_id = v.tenant_id and u.id = v.owner
where v.tenant_id = :tenant_id and v.kind = :kind order by v.owner, v.name
"""
_ALONE = "select owner, name, sealed from vault where tenant_id = :tenant_id and kind = :kind order by owner, name"
_LINKED = """
select l.identity, u.document from linked_identities l
join users u on u.tenant_id = l.tenant_id and u.id = l.user_id
where l.tenant_id = :tenant_id and one_of(l.identity, :identities)
"""
_SIGNING_KEYS = "select id, document from signing_keys where tenant_id = :tenant_id"
_CONNECTION_KEYS = "select id, document from connection_keys where tenant_id = :tenant_id"


@dataclass(slots=True)
class Counts:
    """How much of what was written."""

    values: dict[str, int] = field(default_factory=dict)
    """Vault values by kind, in the sealed part."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Vault values by kind that the chosen connections leave out."""
    lines: dict[str, int] = field(default_factory=dict)
    """Lines by file."""
    by_connection: dict[str, int] = field(default_factory=dict)
    """Password hashes by connection."""
    without_user: int = 0
    """Password hashes that belong to no user: in the sealed part alone."""


class Contents:
    """Writes the approved kinds of a tenant into the tar, and counts."""

    def __init__(
        self, snapshot: Snapshot, tenant: TenantScope, tar: ExportTar, *, connections: Sequence[str] = ()
    ) -> None:
        self._snapshot = snapshot
        self._tenant = tenant
        self._tar = tar
        self._connections = frozenset(connections)
        self.counts = Counts()

    async def write(self, kinds: Sequence[str]) -> None:
        """Write everything of these kinds. Raises BuildFailed when it is not all that the database has."""
        for kind in sorted(kinds):
            if kind == "password_hashes":
                await self._write_hashes()
            elif kind == "mfa_secrets":
                await self._write_factors()
            elif kind == "private_keys":
                await self._write_keys()
            else:
                await self._write_secrets(kind)
        for kind, expected in (await count_values(self._snapshot, self._tenant)).items():
            if kind in kinds:
                found = self.counts.values.get(kind, 0) + self.counts.left_out.get(kind, 0)
                if found != expected:
                    raise BuildFailed("counts_differ", f"{found} values of {kind} were read, and {expected} are there.")

    async def _write_hashes(self) -> None:
        kind = "password_hashes"
        vault_part = self._vault_part(kind)
        hashes, others = self._lines(formats.HASHES), self._lines(formats.OTHER_HASHES)
        name, limited, counts = self._tenant.name, self._connections, self.counts
        opened, plain = _Opener(self._tenant, kind), formats.PlainWriter(name)
        by_connection: Counter[str] = Counter()
        left_out = 0
        pending: tuple[str, str, Person] | None = None

        def write_pending() -> None:
            nonlocal pending
            if pending is None:
                return
            owner, stored, person = pending
            connection = person.identities[0].connection if person.identities else ""
            line = formats.hash_line(owner, stored, person, connection=connection, tenant=name)
            (others if line.password_hash is msgspec.UNSET else hashes).add(line)
            by_connection[connection] += 1
            pending = None

        def write_odd(row: Row, person: Person | None, stored: bytes) -> None:
            nonlocal pending
            owner, value_name = row[0], row[1]
            vault_part.add_text(vault_line(owner, value_name, stored))
            if person is None:
                counts.without_user += not owner.startswith(ADMINISTRATORS)
                return
            # Values come in the order of their names: the current one, earlier ones, one imported and not yet used.
            if pending is not None and pending[0] != owner:
                write_pending()
            if value_name in _IN_USE:
                pending = (owner, stored.decode(), person)

        async for rows in self._snapshot.scan(_OF_USERS, tenant_id=self._tenant.id, kind=kind):
            linked = await self._linked(rows)
            if limited:
                for row in rows:
                    person = _person_of(row, linked)
                    if _is_of(person, limited):
                        write_odd(row, person, opened.open(*row[:3]))
                    else:
                        left_out += 1
                continue
            owners, names, sealed, documents = zip(*rows, strict=True)
            stored = opened.open_all(owners, names, sealed)
            lines = plain.lines(owners, names, stored, documents)
            before = pending[0] if pending is not None else None
            at = 0
            for odd in [*sorted(lines.others | _with_more(owners, names, before)), len(rows)]:
                if at < odd:
                    write_pending()
                    hashes.add_texts(lines.hashes[at:odd])
                    vault_part.add_texts(lines.sealed_part[at:odd])
                    by_connection.update(lines.connections[at:odd])
                if odd < len(rows):
                    write_odd(rows[odd], _person_of(rows[odd], linked), stored[odd])
                at = odd + 1
        write_pending()
        counts.by_connection.update(by_connection)
        self._finish(kind, vault_part, left_out, {formats.HASHES: hashes, formats.OTHER_HASHES: others})

    async def _write_factors(self) -> None:
        kind = "mfa_secrets"
        vault_part = self._vault_part(kind)
        factors, others = self._lines(formats.FACTORS), self._lines(formats.OTHER_FACTORS)
        opened = _Opener(self._tenant, kind)
        left_out = 0
        user_id = ""
        contents: dict[str, bytes] = {}

        def write_collected() -> None:
            for line in formats.factor_lines(user_id, contents, tenant=self._tenant.name):
                (others if isinstance(line, formats.OtherFactorLine) else factors).add(line)

        async for rows in self._snapshot.scan(_OF_USERS, tenant_id=self._tenant.id, kind=kind):
            for owner, value_name, sealed, document in rows:
                person = formats.read_person(document) if document is not None else None
                if self._connections and not _is_of(person, self._connections):
                    left_out += 1
                    continue
                value = opened.open(owner, value_name, sealed)
                vault_part.add_text(vault_line(owner, value_name, value))
                if owner.startswith(ADMINISTRATORS):
                    continue
                if owner != user_id:
                    write_collected()
                    user_id, contents = owner, {}
                contents[value_name] = value
        write_collected()
        self._finish(kind, vault_part, left_out, {formats.FACTORS: factors, formats.OTHER_FACTORS: others})

    async def _write_keys(self) -> None:
        kind = "private_keys"
        vault_part = self._vault_part(kind)
        known = await self._known_keys()
        keys = []
        async for owner, name, value in self._alone(kind):
            vault_part.add_text(vault_line(owner, name, value))
            if not name:
                keys.append(_private_key(owner, value, known.get(owner)))
        order = {"current": 0, "next": 1, "previous": 2}
        keys.sort(key=lambda key: (key.purpose != "signing", key.purpose, order.get(key.state, 3), key.kid))
        for path, content in key_files(keys):
            self._tar.add(path, content)
        self.counts.lines["private-keys"] = len(keys)
        self._finish(kind, vault_part, 0, {})

    async def _write_secrets(self, kind: str) -> None:
        vault_part = self._vault_part(kind)
        name = formats.SECRETS if kind == "write_only_secrets" else kind.replace("_", "-")
        lines = self._lines(name)
        async for owner, value_name, value in self._alone(kind):
            vault_part.add_text(vault_line(owner, value_name, value))
            lines.add(formats.secret_line(owner, value_name, value))
        self._finish(kind, vault_part, 0, {name: lines})

    async def _alone(self, kind: str) -> AsyncIterator[tuple[str, str, bytes]]:
        opened = _Opener(self._tenant, kind)
        async for rows in self._snapshot.scan(_ALONE, tenant_id=self._tenant.id, kind=kind):
            for owner, name, sealed in rows:
                yield owner, name, opened.open(owner, name, sealed)

    async def _linked(self, rows: list[Row]) -> dict[str, Person]:
        """The people behind identities that are linked to another user."""
        owners = [row[0] for row in rows if row[3] is None]
        if not owners:
            return {}
        found = {}
        for identity_id, document in await self._snapshot.all(
            _LINKED, tenant_id=self._tenant.id, identities=Values(owners)
        ):
            person = formats.read_person(document)
            for identity in person.identities[1:]:
                if _id_of(identity) == identity_id:
                    found[identity_id] = person.as_linked(identity)
        return found

    async def _known_keys(self) -> dict[str, PrivateKey]:
        """What the public side says about keys, by kid."""
        known = {}
        for purpose, sql in (("signing", _SIGNING_KEYS), ("connection", _CONNECTION_KEYS)):
            for kid, document in await self._snapshot.all(sql, tenant_id=self._tenant.id):
                said = msgspec.json.decode(document)
                state = next((name for name in ("current", "next", "previous") if said.get(name)), "")
                known[kid] = PrivateKey(
                    kid=kid, pem=b"", purpose=purpose, state=state, certificate=said.get("cert") or "",
                    algorithm=said.get("algorithm") or "",
                )  # fmt: skip
        return known

    def _lines(self, name: str) -> Lines:
        return Lines(self._tar, numbered(name))

    def _vault_part(self, kind: str) -> Lines:
        return Lines(self._tar, lambda part: f"vault/{kind}/{part:06d}.ndjson", part_bytes=PART_BYTES)

    def _finish(self, kind: str, vault_part: Lines, left_out: int, files: dict[str, Lines]) -> None:
        for name, lines in files.items():
            lines.flush()
            self.counts.lines[name] = lines.rows
        vault_part.flush()
        self.counts.values[kind] = vault_part.rows
        if left_out:
            self.counts.left_out[kind] = left_out


async def count_values(snapshot: Snapshot, tenant: TenantScope) -> dict[str, int]:
    """How many values of each kind the vault holds."""
    return {kind: count for kind, count, _ in await snapshot.all(_COUNTS, tenant_id=tenant.id)}


async def estimate_bytes(snapshot: Snapshot, tenant: TenantScope, kinds: Sequence[str]) -> int:
    """About how large the export becomes; rather too much than too little."""
    rows = await snapshot.all(_COUNTS, tenant_id=tenant.id)
    return sum(count * 640 + 2 * int(size or 0) for kind, count, size in rows if kind in kinds)


class _Opener:
    """Opens values of one kind."""

    __slots__ = ("_kind", "_open", "_open_all", "_tenant_id")

    def __init__(self, tenant: TenantScope, kind: str) -> None:
        self._open, self._open_all = tenant.sealer.open, tenant.sealer.open_all
        self._tenant_id = tenant.id
        self._kind = kind

    def open(self, owner: str, name: str, sealed: bytes) -> bytes:
        return self._open(sealed, context=vault.context(self._tenant_id, self._kind, owner, name))

    def open_all(self, owners: Sequence[str], names: Sequence[str], sealed: Sequence[bytes]) -> list[bytes]:
        before, _, after = vault.context(self._tenant_id, self._kind, "\0", "\1").partition("\0")
        between = after.removesuffix("\1")
        places = zip(owners, names, strict=True)
        return self._open_all(sealed, [f"{before}{owner}{between}{name}" for owner, name in places])


def _with_more(owners: Sequence[str], names: Sequence[str], before: str | None) -> set[int]:
    """Places of the values that are not an owner's only one, or not the one in use; `before` is the owner before.

    Whose value is the last may have more of them among the next.
    """
    found = {len(owners) - 1}
    if owners[0] == before:
        found.add(0)
    if len(set(owners)) < len(owners):
        same = [place for place, (one, two) in enumerate(pairwise(owners)) if one == two]
        found.update(same, (place + 1 for place in same))
    if not _IN_USE.issuperset(names):
        found.update(place for place, name in enumerate(names) if name not in _IN_USE)
    return found


def _person_of(row: Row, linked: Mapping[str, Person]) -> Person | None:
    return formats.read_person(row[3]) if row[3] is not None else linked.get(row[0])


def _is_of(person: Person | None, connections: frozenset[str]) -> bool:
    return person is not None and any(identity.connection in connections for identity in person.identities)


def _id_of(identity: Identity) -> str:
    return f"{identity.provider}|{identity.user_id}"


def _private_key(owner: str, pem: bytes, known: PrivateKey | None) -> PrivateKey:
    if known is not None:
        return replace(known, pem=pem)
    purpose, _, kid = owner.rpartition("|")
    return PrivateKey(kid=kid, pem=pem, purpose=purpose or "other")
