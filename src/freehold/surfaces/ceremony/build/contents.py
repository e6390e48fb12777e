"""What goes into a sealed export, read from one snapshot and unwrapped value by value.

Of each kind that was approved: the files that others read, and the part of the open archive from which Freehold
restores. A request for certain connections gets those connections' users alone; the administrators' own credentials
are then left out too.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Snapshot
from freehold.surfaces.ceremony.build import formats
from freehold.surfaces.ceremony.build.hashes import ADMINISTRATORS, KIND, HashReader, Produced, is_of
from freehold.surfaces.ceremony.build.key_files import PrivateKey, key_files
from freehold.surfaces.ceremony.build.sealing import BuildFailed
from freehold.surfaces.ceremony.build.tar import ExportTar, Lines, numbered
from freehold.surfaces.transfer.archive import PART_BYTES
from freehold.surfaces.transfer.sealed import vault_line

_COUNTS = "select kind, count(*), sum(length(sealed)) from vault where tenant_id = :tenant_id group by kind"
_OF_USERS = """
select v.owner, v.name, v.sealed, u.document from vault v
left join users u on u.tenant_id = v.tenant_id and u.id = v.owner
where v.tenant_id = :tenant_id and v.kind = :kind order by v.owner, v.name
"""
_ALONE = "select owner, name, sealed from vault where tenant_id = :tenant_id and kind = :kind order by owner, name"
_SIGNING_KEYS = "select id, document from signing_keys where tenant_id = :tenant_id"
_CONNECTION_KEYS = "select id, document from connection_keys where tenant_id = :tenant_id"

Produce: TypeAlias = Callable[[], AsyncIterator[Produced]]
"""Makes the lines of all password hashes, a range of owners at a time."""


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
        self,
        snapshot: Snapshot,
        tenant: TenantScope,
        tar: ExportTar,
        *,
        connections: Sequence[str] = (),
        produce: Produce | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._tenant = tenant
        self._tar = tar
        self._connections = frozenset(connections)
        self._produce = produce or self._produce_here
        self.counts = Counts()

    async def write(self, kinds: Sequence[str], expected: Mapping[str, int]) -> None:
        """Write everything of these kinds. Raises BuildFailed when it is not as many values as are expected."""
        for kind in sorted(kinds):
            if kind == "password_hashes":
                await self._write_hashes()
            elif kind == "mfa_secrets":
                await self._write_factors()
            elif kind == "private_keys":
                await self._write_keys()
            else:
                await self._write_secrets(kind)
            found = self.counts.values.get(kind, 0) + self.counts.left_out.get(kind, 0)
            if found != expected.get(kind, 0):
                message = f"{found} values of {kind} were read, and {expected.get(kind, 0)} are there."
                raise BuildFailed("counts_differ", message)

    async def _write_hashes(self) -> None:
        counts = self.counts
        vault_part = self._vault_part(KIND)
        plain, others = self._lines(formats.HASHES), self._lines(formats.OTHER_HASHES)
        by_connection: Counter[str] = Counter()
        left_out = 0
        async for produced in self._produce():
            counted = produced.counted
            plain.add_text(produced.hashes, counted.hashes)
            others.add_text(produced.others, counted.others)
            vault_part.add_text(produced.sealed_part, counted.sealed_part)
            by_connection.update(counted.by_connection)
            counts.without_user += counted.without_user
            left_out += counted.left_out
        counts.by_connection.update(by_connection)
        self._finish(KIND, vault_part, left_out, {formats.HASHES: plain, formats.OTHER_HASHES: others})

    async def _produce_here(self) -> AsyncIterator[Produced]:
        reader = HashReader(self._snapshot, self._tenant, [*self._connections])
        after: str | None = ""
        while after is not None:
            values = await reader.fetch(after)
            yield await reader.produce(values)
            after = values.end

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

        query = _OF_USERS if self._connections else _ALONE
        async for rows in self._snapshot.scan(query, tenant_id=self._tenant.id, kind=kind):
            for owner, value_name, sealed, *more in rows:
                document = more[0] if more else None
                person = formats.read_person(document) if document is not None else None
                if self._connections and not is_of(person, self._connections):
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


class InVault(NamedTuple):
    """How much the vault has of a kind."""

    values: int
    bytes: int


async def count_values(snapshot: Snapshot, tenant: TenantScope) -> dict[str, InVault]:
    """How much of each kind the vault holds."""
    rows = await snapshot.all(_COUNTS, tenant_id=tenant.id)
    return {kind: InVault(count, int(size or 0)) for kind, count, size in rows}


def estimate_bytes(counted: Mapping[str, InVault], kinds: Sequence[str]) -> int:
    """About how large the export becomes; rather too much than too little."""
    return sum(found.values * 640 + 2 * found.bytes for kind, found in counted.items() if kind in kinds)


class _Opener:
    """Opens values of one kind."""

    __slots__ = ("_kind", "_open", "_tenant_id")

    def __init__(self, tenant: TenantScope, kind: str) -> None:
        self._open = tenant.sealer.open
        self._tenant_id = tenant.id
        self._kind = kind

    def open(self, owner: str, name: str, sealed: bytes) -> bytes:
        return self._open(sealed, context=vault.context(self._tenant_id, self._kind, owner, name))


def _private_key(owner: str, pem: bytes, known: PrivateKey | None) -> PrivateKey:
    if known is not None:
        return replace(known, pem=pem)
    purpose, _, kid = owner.rpartition("|")
    return PrivateKey(kid=kid, pem=pem, purpose=purpose or "other")
