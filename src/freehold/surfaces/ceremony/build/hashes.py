"""The password hashes of a tenant, a range of owners at a time: opened, and written as lines.

A range needs nothing of the one before, so that several processes can work on ranges of one view of the database. What
most identities have in common goes the quick way of `formats.PlainWriter`; the others go one by one.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import msgspec

from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Row
from freehold.kernel.store import Values as OneOf
from freehold.surfaces.ceremony.build import formats
from freehold.surfaces.ceremony.build.formats import Identity, Person, PlainPerson
from freehold.surfaces.ceremony.build.pipes import Buffer
from freehold.surfaces.transfer.sealed import vault_line

KIND = "password_hashes"
T = TypeVar("T")

RANGE_VALUES = 5000
ADMINISTRATORS = "admin|"
"""Owners of administrators' values begin with this; they are nobody's users."""

_IN_USE = frozenset({"", "imported"})
"""Names of the hash that counts; the others are earlier ones."""

_AFTER = """
select owner, name, sealed from vault where tenant_id = :tenant_id and kind = :kind and owner > :after
order by owner, name limit :most
"""
_BETWEEN = """
select count(*), joined(document) from (
    select document from users where tenant_id = :tenant_id and id >= :first and id <= :last order by id limit :most
) as found
"""
_NAMED = "select joined(document) from users where tenant_id = :tenant_id and one_of(id, :ids)"
_DOCUMENTS = "select id, document from users where tenant_id = :tenant_id and one_of(id, :ids)"
_LINKED = """
select l.identity, u.document from linked_identities l
join users u on u.tenant_id = l.tenant_id and u.id = l.user_id
where l.tenant_id = :tenant_id and one_of(l.identity, :ids)
"""


class Values(msgspec.Struct, frozen=True):
    """What a range of owners has in the vault, still sealed, in the order of owners and names."""

    rows: list[Row]
    end: str | None
    """The last owner, of whom everything is here; None when no more come."""


class Counted(msgspec.Struct, kw_only=True, array_like=True):
    """How much became of a range."""

    hashes: int
    others: int
    sealed_part: int
    """Lines; a value of the vault is one line of the sealed part."""
    by_connection: dict[str, int]
    without_user: int
    left_out: int


class Produced(NamedTuple):
    """What became of a range: the lines of each file, in the order of the owners."""

    counted: Counted
    hashes: Buffer
    others: Buffer
    sealed_part: Buffer


class HashReader:
    """Makes the lines of ranges. With `connections`, of those connections' users alone."""

    def __init__(self, reader: Reader, tenant: TenantScope, connections: Sequence[str]) -> None:
        self._reader = reader
        self._tenant = tenant
        self._connections = frozenset(connections)
        self._plain = formats.PlainWriter(tenant.name)

    async def fetch(self, after: str) -> Values:
        """The next range, after this owner."""
        most = RANGE_VALUES
        while True:
            rows = await self._reader.all(_AFTER, tenant_id=self._tenant.id, kind=KIND, after=after, most=most)
            if len(rows) < most:
                return Values(rows, None)
            # Of the last owner more may follow.
            last, whole = rows[-1][0], most
            while whole and rows[whole - 1][0] == last:
                whole -= 1
            if whole:
                return Values(rows[:whole], rows[whole - 1][0])
            most *= 2

    async def produce(self, values: Values) -> Produced:
        """The lines of a range. Raises CannotOpen."""
        written, left_out = _Written(self._tenant.name), 0
        if values.rows:
            owners, names, sealed = zip(*values.rows, strict=True)
            if self._connections:
                left_out = await self._write_chosen(written, owners, names, sealed)
            else:
                await self._write_all(written, owners, names, sealed)
        return written.produced(left_out=left_out)

    async def _write_all(
        self, written: "_Written", owners: Sequence[str], names: Sequence[str], sealed: Sequence[bytes]
    ) -> None:
        stored = self._opened(owners, names, sealed)
        lines = self._plain.lines(owners, names, stored, await self._people(owners))
        odd = sorted(lines.others | _with_more(owners, names))
        people = await self._persons([owners[place] for place in odd])
        at = 0
        for place in odd:
            if at < place:
                written.add_plain(lines, at, place)
            written.add(owners[place], names[place], stored[place], people.get(owners[place]))
            at = place + 1
        if at < len(owners):
            written.add_plain(lines, at, len(owners))

    async def _write_chosen(
        self, written: "_Written", owners: Sequence[str], names: Sequence[str], sealed: Sequence[bytes]
    ) -> int:
        """How many values were left out."""
        people = await self._persons(owners)
        chosen = [place for place, owner in enumerate(owners) if is_of(people.get(owner), self._connections)]
        left_out = len(owners) - len(chosen)
        owners, names, sealed = _at(chosen, owners), _at(chosen, names), _at(chosen, sealed)
        for owner, name, stored in zip(owners, names, self._opened(owners, names, sealed), strict=True):
            written.add(owner, name, stored, people[owner])
        return left_out

    def _opened(self, owners: Sequence[str], names: Sequence[str], sealed: Sequence[bytes]) -> list[bytes]:
        before, _, after = vault.context(self._tenant.id, KIND, "\0", "\1").partition("\0")
        between = after.removesuffix("\1")
        contexts = [f"{before}{owner}{between}{name}" for owner, name in zip(owners, names, strict=True)]
        return self._tenant.sealer.open_all(sealed, contexts)

    async def _people(self, owners: Sequence[str]) -> list[PlainPerson]:
        """Who the owners are, as far as they are users. Those between first and last are usually these very ones."""
        most = 2 * len(owners)
        found = await self._reader.one(
            _BETWEEN, tenant_id=self._tenant.id, first=owners[0], last=owners[-1], most=most
        )  # fmt: skip
        count, documents = found or (0, None)
        if count == most:
            found = await self._reader.one(_NAMED, tenant_id=self._tenant.id, ids=OneOf(owners))
            documents = found[0] if found else None
        people = self._plain.read(documents or "")
        if [person.user_id for person in people] == [*owners]:
            return people
        known = {person.user_id: person for person in people}
        return [known.get(owner, formats.NOBODY) for owner in owners]

    async def _persons(self, owners: Sequence[str]) -> dict[str, Person]:
        """Everything about who the owners are, also those that are linked to another user."""
        if not owners:
            return {}
        tenant_id = self._tenant.id
        documents = await self._reader.all(_DOCUMENTS, tenant_id=tenant_id, ids=OneOf(dict.fromkeys(owners)))
        people = {owner: formats.read_person(document) for owner, document in documents}
        missing = [owner for owner in owners if owner not in people]
        if missing:
            for identity_id, document in await self._reader.all(_LINKED, tenant_id=tenant_id, ids=OneOf(missing)):
                person = formats.read_person(document)
                for identity in person.identities[1:]:
                    if _id_of(identity) == identity_id:
                        people[identity_id] = person.as_linked(identity)
        return people


class _Written:
    """The lines of a range while they are made. Values come in the order of owners and names."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._hashes: list[bytes] = []
        self._others: list[bytes] = []
        self._sealed_part: list[bytes] = []
        self._hash_rows = self._other_rows = self._sealed_rows = 0
        self._by_connection: Counter[str] = Counter()
        self._without_user = 0
        self._pending: tuple[str, str, Person] | None = None
        """The hash in use of the owner whose values are coming: of several names the last one counts."""

    def add_plain(self, lines: formats.PlainLines, start: int, end: int) -> None:
        """Values that went the quick way."""
        self._write_pending()
        self._hashes.append(lines.hashes(start, end).encode())
        self._hash_rows += end - start
        self._sealed_part.append(lines.sealed_part(start, end).encode())
        self._sealed_rows += end - start
        self._by_connection.update(lines.connections[start:end])

    def add(self, owner: str, name: str, stored: bytes, person: Person | None) -> None:
        """One value; the identity's line is that of the hash in use."""
        self._sealed_part.append(vault_line(owner, name, stored))
        self._sealed_rows += 1
        if person is None:
            self._without_user += not owner.startswith(ADMINISTRATORS)
            return
        # The current one, earlier ones, one imported and not yet used: that is the order of their names.
        if self._pending is not None and self._pending[0] != owner:
            self._write_pending()
        if name in _IN_USE:
            self._pending = (owner, stored.decode(), person)

    def produced(self, *, left_out: int) -> Produced:
        """Everything that was added."""
        self._write_pending()
        counted = Counted(
            hashes=self._hash_rows,
            others=self._other_rows,
            sealed_part=self._sealed_rows,
            by_connection=dict(self._by_connection),
            without_user=self._without_user,
            left_out=left_out,
        )
        return Produced(counted, b"".join(self._hashes), b"".join(self._others), b"".join(self._sealed_part))

    def _write_pending(self) -> None:
        if self._pending is None:
            return
        owner, stored, person = self._pending
        self._pending = None
        connection = person.identities[0].connection if person.identities else ""
        line = formats.hash_line(owner, stored, person, connection=connection, tenant=self._tenant)
        text = msgspec.json.encode(line) + b"\n"
        if line.password_hash is msgspec.UNSET:
            self._others.append(text)
            self._other_rows += 1
        else:
            self._hashes.append(text)
            self._hash_rows += 1
        self._by_connection[connection] += 1


def _at(places: Sequence[int], column: Sequence[T]) -> list[T]:
    return [column[place] for place in places]


def _with_more(owners: Sequence[str], names: Sequence[str]) -> set[int]:
    """Places of values that are not an owner's only one, or not the one in use."""
    found: set[int] = set()
    if len(set(owners)) < len(owners):
        same = [place for place, (one, two) in enumerate(pairwise(owners)) if one == two]
        found.update(same, (place + 1 for place in same))
    if not _IN_USE.issuperset(names):
        found.update(place for place, name in enumerate(names) if name not in _IN_USE)
    return found


def is_of(person: Person | None, connections: frozenset[str]) -> bool:
    """Whether a user has an identity in one of the connections."""
    return person is not None and any(identity.connection in connections for identity in person.identities)


def _id_of(identity: Identity) -> str:
    return f"{identity.provider}|{identity.user_id}"
