"""The audit log: one signed chain whatever happens at once, and every way of bending it is noticed."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from freehold.domain import audit
from freehold.domain.audit import AuditActor, FileSink, Seen, TreeHead, Verdict, Witnesses, merkle
from freehold.domain.audit.lines import of_head
from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel.clock import FakeClock
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import NotFound, Unavailable
from freehold.kernel.store import Store
from freehold.registry import REGISTRY
from tests.support.full_tenant import directory

ADA = AuditActor("administrator", "adm_1", "ada@example.com", "ses_1", 1_767_225_600_000, "192.0.2.1")


class FullDisk:
    """A place that takes nothing."""

    name = "full"

    async def write(self, lines: object) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def tenants(store: Store, file: Path) -> TenantDirectory:
    made = directory(store, REGISTRY)
    made.witness = Witnesses([FileSink(file)])
    return made


@pytest.fixture
async def tenant(tenants: TenantDirectory) -> TenantScope:
    return await tenants.create("acme", "acme.test")


async def write(store: Store, tenant: TenantScope, count: int, *, ceremony_id: str = "cer_1") -> None:
    for number in range(count):
        async with store.transaction() as tx:
            await audit.record(
                tx, tenant, action="ceremony.step", actor=ADA, ceremony_id=ceremony_id, digest="ab" * 32,
                details={"number": number, "name": "Žofie \u2028"},
            )  # fmt: skip


async def verdict(store: Store, tenant: TenantScope, file: Path, *known: TreeHead) -> Verdict:
    seen = audit.read_file(file, tenant.id) if file.exists() else Seen()
    return await audit.check_log(store, tenant, seen=seen, known=known)


async def test_a_new_log_begins_with_its_key(store: Store, tenant: TenantScope, file: Path) -> None:
    (kid, public), *others = (await audit.public_keys(store, tenant)).items()
    row = await store.one("select action, details from audit_entries where seq = 1")

    assert not others
    assert row is not None
    assert row[0] == "audit.key_created"
    assert msgspec.json.decode(row[1]) == {"kid": kid, "public_key": public.hex()}
    assert kid == audit.fingerprint(public)
    assert (await verdict(store, tenant, file)).ok


async def test_what_was_written_is_one_signed_chain(store: Store, tenant: TenantScope, file: Path) -> None:
    await write(store, tenant, 7)
    found = await verdict(store, tenant, file)
    entries = await audit.entries_of(store, tenant, "cer_1")

    assert (found.ok, found.size, found.remarks) == (True, 8, ())
    assert found.heads == 14, "one in the database and one in the file for each step"
    assert [entry.seq for entry in entries] == [2, 3, 4, 5, 6, 7, 8]
    assert entries[0].actor == ADA
    assert all(after.previous == before.leaf for before, after in itertools.pairwise(entries))


async def test_proofs_lead_from_entries_to_a_signed_head_and_from_head_to_head(
    store: Store, tenant: TenantScope
) -> None:
    await write(store, tenant, 9)
    head = await audit.latest_head(store, tenant)
    assert head is not None
    proofs = await audit.prove(store, tenant, await audit.entries_of(store, tenant, "cer_1"), head)
    older = await audit.head_of_size(store, tenant, 4)
    path = await audit.prove_consistency(store, tenant, 4, head.size)
    keys = await audit.public_keys(store, tenant)

    root = bytes.fromhex(head.root)
    for proof in proofs:
        steps = [bytes.fromhex(step) for step in proof.path]
        assert merkle.is_included(bytes.fromhex(proof.entry.leaf), proof.entry.seq - 1, head.size, steps, root)
    assert merkle.is_consistent(4, head.size, [bytes.fromhex(p) for p in path], bytes.fromhex(older.root), root)
    assert audit.is_signed(keys[head.kid], head.message, bytes.fromhex(head.signature))
    with pytest.raises(NotFound):
        await audit.head_of_size(store, tenant, 99)
    with pytest.raises(NotFound):
        await audit.prove_consistency(store, tenant, 3, 99)


async def test_writers_at_once_stay_one_chain(store: Store, tenant: TenantScope, file: Path) -> None:
    await asyncio.gather(*(write(store, tenant, 3, ceremony_id=f"cer_{number}") for number in range(8)))
    found = await verdict(store, tenant, file)

    assert (found.ok, found.size) == (True, 25), found.reason


async def test_the_first_writers_of_an_old_tenant_begin_one_log(store: Store, tenant: TenantScope, file: Path) -> None:
    for table in ("audit_entries", "audit_heads", "audit_keys", "audit_checkpoints"):
        await store.run(f"delete from {table}")
    await asyncio.gather(*(write(store, tenant, 1) for _ in range(6)))
    found = await verdict(store, tenant, file)

    assert (found.ok, found.size) == (True, 7), found.reason
    assert len(await audit.public_keys(store, tenant)) == 1


async def test_what_was_rolled_back_is_not_missed(store: Store, tenant: TenantScope, file: Path) -> None:
    await write(store, tenant, 2)
    with pytest.raises(RuntimeError):
        async with store.transaction() as tx:
            await audit.record(tx, tenant, action="x", actor=ADA, ceremony_id="cer_9", details={})
            raise RuntimeError
    remark = (await verdict(store, tenant, file)).remarks
    await write(store, tenant, 1)

    assert remark == ("the file holds entries after 3 of which no head says that they were committed",)
    assert await verdict(store, tenant, file) == await verdict(store, tenant, file)
    assert (await verdict(store, tenant, file)).ok
    assert (await verdict(store, tenant, file)).remarks == ()


async def test_a_ceremony_step_needs_another_place_and_a_sign_in_does_not(
    store: Store, tenant: TenantScope, tenants: TenantDirectory, file: Path
) -> None:
    assert isinstance(tenant.witness, Witnesses)
    working, tenant.witness.sinks = tenant.witness.sinks, [FullDisk()]
    with pytest.raises(Unavailable, match="nothing was done"):
        await write(store, tenant, 1)
    await write(store, tenant, 1, ceremony_id="")
    tenant.witness.sinks = [*working, FullDisk()]
    await write(store, tenant, 1)
    found = await verdict(store, tenant, file)

    assert (found.ok, found.size) == (True, 3)
    assert sorted(audit.read_file(file, tenant.id).leaves) == [1, 2, 3], "the sign-in came along with the step"


async def test_without_any_other_place_no_ceremony_step_happens(store: Store) -> None:
    tenants = directory(store, REGISTRY)
    tenants.witness = None
    tenant = await tenants.create("lonely", "lonely.test")
    with pytest.raises(Unavailable):
        await write(store, tenant, 1)
    assert await store.one("select max(seq) from audit_entries") == (1,)


async def test_a_place_that_was_away_gets_what_it_missed(store: Store, tenant: TenantScope, tmp_path: Path) -> None:
    class Flaky(FileSink):
        name = "flaky"
        away = True

        async def write(self, lines: Any) -> None:
            if self.away:
                raise OSError
            await super().write(lines)

    assert isinstance(tenant.witness, Witnesses)
    flaky = Flaky(tmp_path / "other.jsonl")
    tenant.witness.sinks = [*tenant.witness.sinks, flaky]
    await write(store, tenant, 2)
    flaky.away = False
    await write(store, tenant, 1)

    assert sorted(audit.read_file(flaky.path, tenant.id).leaves) == [1, 2, 3, 4]


async def test_every_hundred_entries_and_every_minute_the_log_is_signed(
    store: Store, tenant: TenantScope, file: Path, clock: FakeClock
) -> None:
    await write(store, tenant, 101, ceremony_id="")
    hundred = await audit.latest_head(store, tenant)
    clock.advance(seconds=60)
    await audit.catch_up(store, tenant)
    minute = await audit.latest_head(store, tenant)
    await audit.catch_up(store, tenant)

    assert hundred is not None
    assert hundred.size == 100
    assert minute is not None
    assert minute.size == 102
    seen = audit.read_file(file, tenant.id)
    assert max(seen.leaves) == 102
    assert max(head.size for head in seen.heads) == 102


Bend = Callable[[Store], Awaitable[object]]


async def reorder(store: Store) -> None:
    await store.run("update audit_entries set seq = 99 where seq = 4")
    await store.run("update audit_entries set seq = 4 where seq = 5")
    await store.run("update audit_entries set seq = 5 where seq = 99")


async def cut(store: Store) -> None:
    await store.run("delete from audit_entries where seq > 6")
    await store.run("delete from audit_checkpoints where size > 6")
    await store.run("update audit_heads set size = 6")


BENDS: dict[str, tuple[Bend, int]] = {
    "another action": (lambda s: s.run("update audit_entries set action = 'x' where seq = 4"), 4),
    "another person": (lambda s: s.run("update audit_entries set actor_email = 'eve@x.test' where seq = 4"), 4),
    "another time": (lambda s: s.run("update audit_entries set time_ms = time_ms + 1 where seq = 4"), 4),
    "another digest": (lambda s: s.run("update audit_entries set digest = 'cd' where seq = 4"), 4),
    "other details": (lambda s: s.run("""update audit_entries set details = '{"a":1}' where seq = 4"""), 4),
    "details spelled otherwise": (
        lambda s: s.run("update audit_entries set details = details || ' ' where seq = 4"),
        4,
    ),
    "no JSON": (lambda s: s.run("update audit_entries set details = '{' where seq = 4"), 4),
    "another leaf": (lambda s: s.run(f"update audit_entries set leaf = '{'00' * 32}' where seq = 4"), 4),
    "another predecessor": (lambda s: s.run(f"update audit_entries set previous = '{'00' * 32}' where seq = 4"), 4),
    "removed": (lambda s: s.run("delete from audit_entries where seq = 4"), 4),
    "the first removed": (lambda s: s.run("delete from audit_entries where seq = 1"), 1),
    "inserted before": (lambda s: s.run("update audit_entries set seq = 0 where seq = 4"), 1),
    "reordered": (reorder, 4),
    "cut off": (cut, 7),
    "cut off by one, heads left": (lambda s: s.run("delete from audit_entries where seq = 9"), 9),
    "another root": (lambda s: s.run(f"update audit_checkpoints set root = '{'00' * 32}' where size = 5"), 5),
    "another signature": (lambda s: s.run(f"update audit_checkpoints set signature = '{'00' * 64}' where size = 5"), 5),
    "a foreign key": (lambda s: s.run(f"update audit_keys set public_key = '{'00' * 32}'"), 1),
}


@pytest.mark.quick_on("sqlite")
@pytest.mark.parametrize("name", BENDS)
async def test_a_bent_log_is_noticed_and_where(name: str, store: Store, tenant: TenantScope, file: Path) -> None:
    await write(store, tenant, 8)
    assert (await verdict(store, tenant, file)).ok
    bend, first_bad = BENDS[name]
    await bend(store)
    found = await verdict(store, tenant, file)

    assert not found.ok
    assert found.reason
    assert found.first_bad == first_bad


@pytest.mark.quick_on("sqlite")
async def test_a_whole_history_written_anew_is_noticed_by_the_heads(
    store: Store, tenant: TenantScope, file: Path
) -> None:
    """Whoever has the database can compute every hash again, but not the signatures that were seen elsewhere."""
    await write(store, tenant, 5)
    kept = await audit.latest_head(store, tenant)
    assert kept is not None
    for table in ("audit_entries", "audit_heads", "audit_checkpoints", "audit_witnessed"):
        await store.run(f"delete from {table}")
    copy = file.with_name("gone.jsonl")
    file.rename(copy)
    await write(store, tenant, 6)

    alone = await verdict(store, tenant, file)
    with_head = await verdict(store, tenant, file, kept)
    with_file = await verdict(store, tenant, copy)
    assert alone.ok, "the database and its new file agree"
    assert with_head.first_bad is not None
    assert with_file.first_bad == 1


@pytest.mark.quick_on("sqlite")
async def test_an_older_copy_of_the_database_is_noticed_by_the_file(
    store: Store, tenant: TenantScope, file: Path, clock: FakeClock
) -> None:
    await write(store, tenant, 3)
    tables = ("audit_entries", "audit_checkpoints", "audit_heads", "audit_witnessed")
    before = {table: await store.all(f"select * from {table}") for table in tables}
    await write(store, tenant, 3)
    for table, rows in before.items():
        await store.run(f"delete from {table}")
        for row in rows:
            names = [f":c{i}" for i in range(len(row))]
            await store.run(
                f"insert into {table} values ({', '.join(names)})", **{f"c{i}": v for i, v in enumerate(row)}
            )
    found = await verdict(store, tenant, file)
    clock.advance(seconds=1)
    await write(store, tenant, 4)
    later = await verdict(store, tenant, file)

    assert found.first_bad == 5
    assert "older copy" in found.reason
    assert later.first_bad is not None, "writing on does not heal it"


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_half_a_line_in_the_file_does_no_harm(
    store: Store, tenant: TenantScope, file: Path, database: str
) -> None:
    await write(store, tenant, 2)
    with file.open("ab") as open_file:
        open_file.write(b'{"kind":"ent')
    await write(store, tenant, 1)
    found = await verdict(store, tenant, file)

    assert found.ok
    assert found.remarks == ("1 lines of the file cannot be read",)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_a_log_whose_key_stayed_behind_goes_on_with_a_new_one(
    store: Store, tenant: TenantScope, file: Path, database: str
) -> None:
    await write(store, tenant, 2)
    await store.run("delete from vault where owner like 'audit|%'")
    tenant.clock.advance(seconds=1)  # type: ignore[attr-defined]
    await write(store, tenant, 2)
    found = await verdict(store, tenant, file)

    assert (found.ok, found.size) == (True, 6), found.reason
    assert len(await audit.public_keys(store, tenant)) == 2


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_syslog_gets_counted_frames(store: Store, tenant: TenantScope, database: str) -> None:
    from freehold.domain.audit.witnesses import SyslogSink

    got = bytearray()
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.read())
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert isinstance(tenant.witness, Witnesses)
    tenant.witness.sinks = [SyslogSink(f"127.0.0.1:{port}")]
    async with store.transaction() as tx:
        await audit.record(tx, tenant, action="x", actor=ADA, ceremony_id="cer_1", details={})
    await asyncio.wait_for(done.wait(), 5)
    server.close()
    frames, rest = [], bytes(got)
    while rest:
        length, _, rest = rest.partition(b" ")
        frames.append(rest[: int(length)])
        rest = rest[int(length) :]

    assert all(frame.startswith(b"<110>1 - - freehold - audit - {") for frame in frames)
    assert [msgspec.json.decode(frame[frame.index(b"{") :])["seq"] for frame in frames] == [1, 2]


def test_a_head_survives_being_written_down() -> None:
    head = TreeHead(tenant_id="t", size=3, root="00" * 32, time_ms=1_767_225_600_123, kid="k", signature="ab" * 64)

    assert audit.head_of(msgspec.json.decode(of_head(head))) == head
