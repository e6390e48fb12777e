"""What a build leaves behind when it is killed, when the disk is full, and while it runs: nothing readable."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from freehold.kernel import vault
from freehold.kernel.clock import FakeClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, migrate, open_store
from freehold.registry import REGISTRY
from freehold.surfaces.ceremony.build.builder import Order, is_being_written
from freehold.surfaces.ceremony.build.builder import Recipient as OrderedRecipient
from freehold.surfaces.ceremony.delivery.deadlines import Uptime
from freehold.surfaces.ceremony.delivery.reconciling import reconcile
from freehold.surfaces.ceremony.delivery.stores import folder_of, prepare_folder
from tests.support.full_tenant import make_full_tenant
from tests.surfaces.ceremony.conftest import KINDS
from tests.surfaces.ceremony.crashes import find_in_files, kill_build, outcome_of, start_build
from tests.surfaces.ceremony.keys import Recipient

CANARY = b"canary-that-no-file-may-hold"
VALUES = 4000
KILL_POINTS = 12


class Workshop:
    """A tenant with many values in a data folder of its own."""

    def __init__(self, root: Path, store: Store, tenant: TenantScope, recipient: Recipient) -> None:
        self.settings = Settings(data_dir=root)
        self.root, self.store, self.tenant = root, store, tenant
        self._recipient = recipient
        self._number = 0
        prepare_folder(folder_of(self.settings))

    def order(self) -> Order:
        self._number += 1
        return Order(
            database_url=self.store.url, master_key=str(self.settings.data.master_key), tenant_id=self.tenant.id,
            ceremony_id="cer_1", artefact_id=f"art_{self._number}", digest="ab" * 32, kinds=KINDS,
            recipients=(
                OrderedRecipient(certificate=self._recipient.certificate, subkeys=self._recipient.subkeys),
            ),
            target=str(folder_of(self.settings) / f"art_{self._number}.part"),
        )  # fmt: skip

    async def round(self) -> None:
        await reconcile(self.store, self.settings, [self.tenant], uptime=lambda: Uptime("b", 0), grace_ms=-(10**12))

    def exports(self) -> list[str]:
        return sorted(path.name for path in folder_of(self.settings).iterdir())


@pytest.fixture
async def workshop(tmp_path: Path, recipient: Recipient) -> AsyncIterator[Workshop]:
    root = tmp_path / "data"
    root.mkdir(mode=0o700)
    store = open_store(f"sqlite:///{root / 'freehold.db'}", clock=FakeClock())
    await migrate(store)
    tenant = await make_full_tenant(store, REGISTRY, MasterKey.load_or_create(root / "master.key"))
    async with store.transaction() as tx:
        for number in range(VALUES):
            value = CANARY + b" %d " % number + random.randbytes(600).hex().encode()
            await vault.put(tx, tenant, "write_only_secrets", f"owner-{number}", value)
    yield Workshop(root, store, tenant, recipient)
    await store.close()


async def test_a_build_that_is_killed_leaves_noise_that_the_next_round_removes(workshop: Workshop) -> None:
    chance = random.Random(2026)
    killed = 0
    for _ in range(KILL_POINTS):
        outcome = await kill_build(workshop.order(), after_s=chance.uniform(0.05, 2.5))
        assert find_in_files([CANARY], [workshop.root]) == []
        if outcome is None:
            killed += 1
        await workshop.round()
        assert workshop.exports() == []
    assert killed


async def test_a_build_that_is_under_way_is_left_alone_by_the_round(workshop: Workshop) -> None:
    order = workshop.order()
    process = await start_build(order)
    seen = False
    answering = asyncio.ensure_future(outcome_of(process))
    while not answering.done():
        if is_being_written(Path(order.target)):
            seen = True
            await workshop.round()
            assert Path(order.target).exists() or answering.done()
        await asyncio.sleep(0.02)
    outcome = await answering
    assert outcome is not None
    assert outcome.built is not None, outcome
    assert seen


async def test_no_file_holds_a_secret_while_it_is_built(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the data folder nor where programs put temporary files."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name in ("TMPDIR", "TEMP", "TMP", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    answering = asyncio.ensure_future(outcome_of(await start_build(workshop.order())))
    looked = 0
    while not answering.done():
        assert find_in_files([CANARY], [workshop.root, temporary]) == []
        looked += 1
        await asyncio.sleep(0.05)
    outcome = await answering
    assert outcome is not None
    assert outcome.built is not None, outcome
    assert looked
    assert find_in_files([CANARY], [workshop.root, temporary]) == []


async def test_a_disk_that_fills_up_ends_the_build_with_a_reason_and_without_a_file(
    workshop: Workshop, limit_of_file_size: Callable[[int], None]
) -> None:
    limit_of_file_size(1 << 20)
    outcome = await outcome_of(await start_build(workshop.order()))
    assert outcome is not None
    assert outcome.built is None
    assert outcome.reason == "not_written", outcome
    assert workshop.exports() == []
