"""Handing out a sealed export: to whom, how often, how long, and what remains when it is destroyed."""

import base64
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from freehold.domain.administrators import Acting, AdminSession, add_administrator, change_role, set_blocked
from freehold.domain.audit import AuditActor, entries_of
from freehold.domain.audit.witnesses import FileSink, Witnesses
from freehold.domain.ceremonies import Ceremony, get_ceremony
from freehold.domain.ceremonies.policy import STRICT
from freehold.domain.ceremonies.records import insert_draft, new_ceremony_id
from freehold.domain.ceremonies.request import NamedExecutive, Person, Request
from freehold.domain.messaging.outbox import latest
from freehold.kernel.clock import FakeClock, iso
from freehold.kernel.config import Settings
from freehold.kernel.crypto.chunks import ChunkSealer
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Forbidden, FreeholdError
from freehold.kernel.http.request import Request as HttpRequest
from freehold.kernel.http.response import Response
from freehold.kernel.store import Store, scrub
from freehold.registry import REGISTRY
from freehold.surfaces.ceremony.build.builder import key_context
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.delivery.artefacts import (
    Artefact,
    Gone,
    NewArtefact,
    find_artefact,
    insert_artefact,
    released_to,
    wrapped_key,
)
from freehold.surfaces.ceremony.delivery.deadlines import Uptime
from freehold.surfaces.ceremony.delivery.destruction import destroy
from freehold.surfaces.ceremony.delivery.download import answer_download
from freehold.surfaces.ceremony.delivery.ranges import RangeNotSatisfiable
from freehold.surfaces.ceremony.delivery.reconciling import reconcile
from freehold.surfaces.ceremony.delivery.stores import FolderStore, folder_of, prepare_folder
from freehold.surfaces.ceremony.delivery.tables import ARTEFACT_KEYS
from freehold.surfaces.ceremony.delivery.tickets import issue_ticket
from tests.support.asgi import http_scope
from tests.support.full_tenant import directory

pytestmark = pytest.mark.quick_on("sqlite")

DAY_S = 86_400
MESSAGE = os.urandom(3 * (1 << 20) + 12_345)
MASTER = MasterKey([bytes(range(32))])
STARTED = Uptime("boot-1", 1000)


@dataclass
class Hall:
    """Where an export is handed out: the tenant, its requester, and the export itself."""

    store: Store
    tenant: TenantScope
    services: Any
    acting: Acting
    key: bytes
    artefact: Artefact
    uptime: Uptime = STARTED

    @property
    def clock(self) -> FakeClock:
        clock = self.store.clock
        assert isinstance(clock, FakeClock)
        return clock

    @property
    def settings(self) -> Settings:
        settings: Settings = self.services.settings
        return settings

    @property
    def file(self) -> Path:
        return folder_of(self.settings) / f"{self.artefact.id}.sealed"

    async def now(self) -> Artefact:
        found = await find_artefact(self.store, self.tenant, self.artefact.id)
        assert found is not None
        return found

    async def ticket(self) -> str:
        async with self.store.transaction() as tx:
            value, _ = await issue_ticket(
                tx, self.tenant, self.artefact.id, actor_of(self.acting, "192.0.2.7"), uptime=lambda: self.uptime
            )
        return value

    async def ask(self, value: str, *, method: str = "GET", acting: Acting | None = None, **headers: Any) -> Response:
        named = [(name.replace("_", "-"), text) for name, text in headers.items()]
        request = HttpRequest(http_scope(method, "/", named), _no_body, services=self.services)
        request.tenant = self.tenant
        return await answer_download(request, acting or self.acting, value, uptime=lambda: self.uptime)

    async def fetch(self, value: str, **headers: Any) -> bytes:
        return b"".join([piece async for piece in body_of(await self.ask(value, **headers))])

    async def round(self) -> None:
        await reconcile(self.store, self.settings, [self.tenant], uptime=lambda: self.uptime, grace_ms=0)

    async def actions(self) -> list[str]:
        entries = await entries_of(self.store, self.tenant, self.artefact.ceremony_id)
        return [entry.action for entry in entries if entry.action != "ceremony.draft"]


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b""}


def body_of(response: Response) -> AsyncIterator[bytes]:
    assert response.stream_body is not None
    return response.stream_body


def session_of(administrator_id: str, tenant: TenantScope) -> AdminSession:
    now = tenant.clock.now_ms()
    return AdminSession(
        id=new_id("ses_"), administrator_id=administrator_id, via="browser", amr=("pwd", "otp", "mfa"),
        created_at_ms=now, authenticated_at_ms=now, mfa_at_ms=now, last_seen_at_ms=now, idle_expires_at_ms=now + 10**9,
        expires_at_ms=now + 10**9, ip="192.0.2.7", user_agent="",
    )  # fmt: skip


async def ready_ceremony(store: Store, tenant: TenantScope, requester: str, **changes: Any) -> Ceremony:
    """A ceremony that has got as far as its file."""
    request = Request(
        tenant_id=tenant.id, tenant=tenant.name, domain=tenant.domain, ceremony_id=new_ceremony_id(), revision=1,
        kinds=("password_hashes",), connections=(), purpose="Moving", needed_by=None, recipients=(),
        requester=Person(id=requester, name="Ada", email="ada@acme.test"),
        executive=NamedExecutive(id="exe_1", name="Grace", title="CSO", email="g@acme.test"), language="en",
        retention_days=7, download_limit=changes.get("download_limit", 3), nonce="00" * 16, policy=STRICT.snapshot,
        created_at=iso(tenant.clock.now()),
    )  # fmt: skip
    async with store.transaction() as tx:
        made = await insert_draft(tx, tenant, request, actor=AuditActor("administrator", requester))
        await tx.run(
            """update ceremonies set state = 'ready', deadline_ms = :deadline_ms, artefact = '{}'
            where tenant_id = :tenant_id and id = :id""",
            tenant_id=tenant.id,
            id=made.id,
            deadline_ms=tenant.clock.now_ms() + 7 * DAY_S * 1000,
        )
    return await get_ceremony(store, tenant, made.id)


async def keep(
    store: Store, tenant: TenantScope, settings: Settings, keyring: Keyring, requester: str, **changes: Any
) -> tuple[Artefact, bytes]:
    """An export of MESSAGE, and its key."""
    ceremony = await ready_ceremony(store, tenant, requester, **changes)
    artefact_id, key = new_id("art_"), keyring.new_data_key()
    context = key_context(tenant.id, artefact_id)
    folder = folder_of(settings)
    prepare_folder(folder)
    draft = folder / f"{artefact_id}.part"
    with draft.open("wb") as file:
        sealer = ChunkSealer(key, file.write, context=context)
        sealer.write(MESSAGE)
        sealed_size = sealer.finish()
    await FolderStore(folder).put(artefact_id, draft)
    given: dict[str, Any] = {
        "id": artefact_id, "ceremony_id": ceremony.id, "digest": ceremony.digest, "requester_id": requester,
        "place": "folder",
        "size": len(MESSAGE), "sealed_size": sealed_size, "sha256": sha256(MESSAGE).hexdigest(), "recipients": ["AB"],
        "counts": {}, "wrapped_key": keyring.wrap(key, context=context), "retention_s": 7 * DAY_S,
    }  # fmt: skip
    async with store.transaction() as tx:
        new = NewArtefact(**{**given, **changes})
        return await insert_artefact(tx, tenant, new, uptime=lambda: STARTED), key


Make = Callable[..., Awaitable[Hall]]


@pytest.fixture
async def make(store: Store, tmp_path: Path) -> Make:
    async def make(**changes: Any) -> Hall:
        from freehold.domain.tenants.lifecycle import create

        settings = Settings(data_dir=tmp_path / "data")
        settings.data.root.mkdir(exist_ok=True)
        tenants = directory(store, REGISTRY, MASTER)
        witnesses = Witnesses([FileSink(settings.data.audit_file)])
        tenant = replace(await create(store, tenants, "acme", "acme.test"), witness=witnesses)
        async with store.transaction() as tx:
            people = [
                await add_administrator(
                    tx, tenant, email=f"{name}@acme.test", name=name, role="admin", created_by="operator"
                )
                for name in ("ada", "bob")
            ]
        keyring = Keyring(MASTER)
        services = SimpleNamespace(store=store, settings=settings, keyring=keyring)
        acting = Acting(administrator=people[0], session=session_of(people[0].id, tenant))
        artefact, key = await keep(store, tenant, settings, keyring, people[0].id, **changes)
        return Hall(store, tenant, services, acting, key, artefact)

    return make


@pytest.fixture
async def hall(make: Make) -> Hall:
    return await make()


async def test_the_requester_gets_the_message_with_its_digest_and_a_name_that_says_nothing(hall: Hall) -> None:
    response = await hall.ask(await hall.ticket())
    assert b"".join([piece async for piece in body_of(response)]) == MESSAGE
    headers = dict(response.headers)
    assert response.status == 200
    assert response.cache_control == "no-store"
    assert headers["content-length"] == str(len(MESSAGE))
    assert headers["content-disposition"] == f'attachment; filename="{hall.artefact.id.replace("_", "-")}.pgp"'
    digest = base64.b64encode(sha256(MESSAGE).digest()).decode()
    assert headers["repr-digest"] == f"sha-256=:{digest}:"
    now = await hall.now()
    assert (now.downloads, now.sent_bytes) == (1, len(MESSAGE))


async def test_every_attempt_is_in_the_audit_log_and_mailed_to_every_administrator(hall: Hall) -> None:
    await hall.fetch(await hall.ticket())
    assert await hall.actions() == [
        "artefact.download_asked", "artefact.download_started", "ceremony.download",
    ]  # fmt: skip
    with pytest.raises(Gone):
        await hall.ask("x" * 43)
    value = await hall.ticket()
    hall.clock.advance(seconds=61)
    with pytest.raises(Gone):
        await hall.ask(value)
    assert (await hall.actions())[-1] == "artefact.download_refused"
    mails = [mail for mail in await latest(hall.store, hall.tenant) if mail.template == "admin_export_access"]
    assert Counter(mail.recipient for mail in mails) == {"ada@acme.test": 4, "bob@acme.test": 4}
    assert {line for mail in mails for line in mail.body.splitlines() if "refused" in line}


async def test_looking_uses_nothing_up(hall: Hall) -> None:
    value = await hall.ticket()
    looked = await hall.ask(value, method="HEAD")
    assert dict(looked.headers)["content-length"] == str(len(MESSAGE))
    ahead: tuple[dict[str, Any], ...] = (
        {"purpose": "prefetch"},
        {"sec_purpose": "prefetch;prerender"},
        {"x_moz": "prefetch"},
    )
    for header in ahead:
        with pytest.raises(BadRequest):
            await hall.ask(value, **header)
    assert (await hall.now()).sent_bytes == 0
    assert await hall.fetch(value) == MESSAGE


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_ticket_begins_one_download_and_lasts_a_minute(hall: Hall) -> None:
    value = await hall.ticket()
    await hall.fetch(value)
    with pytest.raises(Gone) as used:
        await hall.ask(value)
    assert used.value.code == "ticket_used"
    assert used.value.status == 410
    late = await hall.ticket()
    hall.clock.advance(seconds=60)
    with pytest.raises(Gone) as over:
        await hall.ask(late)
    assert over.value.code == "ticket_expired"


async def test_another_session_cannot_use_the_ticket_not_even_the_same_persons(hall: Hall) -> None:
    value = await hall.ticket()
    other = replace(hall.acting, session=session_of(hall.acting.administrator.id, hall.tenant))
    with pytest.raises(Forbidden):
        await hall.ask(value, acting=other)
    assert (await hall.actions())[-1] == "artefact.download_refused"
    assert await hall.fetch(value) == MESSAGE


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=1000000-", slice(1_000_000, None)),
        ("bytes=65535-65536", slice(65_535, 65_537)),
        ("bytes=-10", slice(-10, None)),
        ("bytes=3000000-99999999", slice(3_000_000, None)),
    ],
)
async def test_a_part_is_that_part(hall: Hall, header: str, part: slice) -> None:
    response = await hall.ask(await hall.ticket(), range=header)
    assert response.status == 206
    assert b"".join([piece async for piece in body_of(response)]) == MESSAGE[part]
    start, stop, _ = part.indices(len(MESSAGE))
    assert dict(response.headers)["content-range"] == f"bytes {start}-{stop - 1}/{len(MESSAGE)}"


async def test_what_is_no_part_is_refused_and_several_at_once_are_the_whole(hall: Hall) -> None:
    value = await hall.ticket()
    for header in (f"bytes={len(MESSAGE)}-", "bytes=-0"):
        with pytest.raises(RangeNotSatisfiable):
            await hall.ask(value, range=header)
    response = await hall.ask(value, range="bytes=0-1,5-6")
    assert response.status == 200
    await body_of(response).aclose()  # type: ignore[attr-defined]


async def test_a_download_that_broke_off_goes_on_inside_its_ticket(hall: Hall) -> None:
    value = await hall.ticket()
    body = body_of(await hall.ask(value))
    received = await anext(body)
    await body.aclose()  # type: ignore[attr-defined]
    assert (await hall.now()).sent_bytes == len(received)
    rest = await hall.fetch(value, range=f"bytes={len(received)}-", if_range=f'"{hall.artefact.sha256}"')
    assert received + rest == MESSAGE
    now = await hall.now()
    assert (now.downloads, now.sent_bytes) == (1, len(MESSAGE))
    assert await hall.actions() == [
        "artefact.download_asked", "artefact.download_started", "artefact.download_broken_off",
        "artefact.download_continued", "ceremony.download",
    ]  # fmt: skip
    with pytest.raises(Gone):
        await hall.ask(value, range="bytes=1-", if_range='"another"')


async def test_the_limit_holds_and_the_last_download_destroys(make: Make) -> None:
    hall = await make(download_limit=2)
    for _ in range(2):
        assert await hall.fetch(await hall.ticket()) == MESSAGE
    with pytest.raises(Gone):
        await hall.ticket()
    assert (await hall.now()).state == "destroyed"
    assert not hall.file.exists()


async def test_parts_do_not_get_round_the_limit(make: Make) -> None:
    hall = await make(download_limit=1)
    almost = f"bytes=0-{len(MESSAGE) - 2}"
    await hall.fetch(await hall.ticket(), range=almost)
    value = await hall.ticket()
    await hall.fetch(value, range=almost)
    with pytest.raises(Gone) as over:
        await hall.ticket()
    assert over.value.code == "download_limit_reached"


async def test_the_first_download_ends_it_where_that_was_asked_for(make: Make) -> None:
    hall = await make(ends_with_download=True)
    assert await hall.fetch(await hall.ticket()) == MESSAGE
    assert (await hall.now()).destroyed_because == "it was downloaded"


@pytest.mark.parametrize("what", ["blocked", "demoted"])
async def test_whoever_lost_the_role_gets_nothing_more_also_in_the_middle(hall: Hall, what: str) -> None:
    value, early = await hall.ticket(), await hall.ticket()
    assert await hall.fetch(early, range="bytes=0-9") == MESSAGE[:10]
    async with hall.store.transaction() as tx:
        if what == "blocked":
            await set_blocked(tx, hall.tenant, hall.acting.administrator.id, blocked=True)
        else:
            await change_role(tx, hall.tenant, hall.acting.administrator.id, "viewer")
    for refused in (hall.ask(value), hall.ticket()):
        with pytest.raises(Gone) as gone:
            await refused
        assert gone.value.code == "role_lost"


async def test_nobody_else_gets_it(hall: Hall) -> None:
    with pytest.raises(Gone) as gone:
        await released_to(hall.store, hall.tenant, hall.artefact.id, "adm_other", uptime=lambda: hall.uptime)
    assert gone.value.code == "not_the_requester"


async def test_after_the_retention_nothing_is_released_and_the_next_round_destroys(hall: Hall) -> None:
    value = await hall.ticket()
    hall.clock.advance(seconds=7 * DAY_S)
    for refused in (hall.ask(value), hall.ticket()):
        with pytest.raises(FreeholdError) as gone:
            await refused
        assert gone.value.status == 410
    assert hall.file.exists()
    await hall.round()
    assert not hall.file.exists()
    now = await hall.now()
    assert (now.state, now.destroyed_because, now.has_traces) == ("destroyed", "its time is over", False)
    assert (await hall.actions())[-1] == "artefact.destroyed"


async def test_a_clock_that_is_set_back_prolongs_nothing(hall: Hall) -> None:
    hall.clock.advance(seconds=6 * DAY_S)
    await hall.round()
    hall.clock.advance(seconds=-6 * DAY_S)
    hall.uptime = Uptime("boot-2", 5)  # and the machine was started again
    await hall.round()
    assert (await hall.now()).state == "ready"
    hall.uptime = Uptime("boot-2", 5 + (DAY_S * 1000))
    hall.clock.advance(seconds=10)
    await hall.round()
    assert (await hall.now()).measured.reached_ms >= hall.artefact.created_at_ms + 6 * DAY_S * 1000
    hall.uptime = Uptime("boot-2", 5 + 7 * DAY_S * 1000)
    with pytest.raises(Gone):
        await hall.ticket()
    await hall.round()
    assert (await hall.now()).state == "destroyed"


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_destroying_leaves_neither_the_message_nor_the_file_nor_the_key(hall: Hall) -> None:
    sealed, wrapped = hall.file.read_bytes(), await wrapped_key(hall.store, hall.tenant, hall.artefact)
    sought = [MESSAGE[1000:1064], MESSAGE[-64:], sealed[1000:1064], sealed[-64:], hall.key, wrapped]
    root = hall.settings.data.root
    database = Path(hall.store.url.removeprefix("sqlite:///")).parent if "sqlite" in hall.store.url else None
    folders = [root] + ([database] if database else [])

    def found() -> list[bytes]:
        texts = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
        return [sought_one for sought_one in sought if any(sought_one in text for text in texts)]

    assert sealed[1000:1064] in found()
    if database:
        assert wrapped in found()
    assert await destroy(hall.store, hall.settings, hall.tenant, hall.artefact.id, because="the requester said so")
    assert found() == []
    assert not await destroy(hall.store, hall.settings, hall.tenant, hall.artefact.id, because="again")
    assert (await hall.actions()).count("artefact.destroyed") == 1


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_what_a_reader_keeps_in_the_log_for_now_goes_with_a_later_round(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads an older state while the key goes; until they have ended the log cannot be cut."""
    monkeypatch.setattr(scrub, "PATIENCE_S", 0.1)
    log = Path(hall.store.url.removeprefix("sqlite:///") + "-wal")
    async with hall.store.snapshot():
        await destroy(hall.store, hall.settings, hall.tenant, hall.artefact.id, because="the requester said so")
        gone = await hall.now()
        assert (gone.state, gone.has_traces, hall.file.exists()) == ("destroyed", True, False)
        with pytest.raises(Gone):
            await hall.ticket()
        await hall.round()
        assert (await hall.now()).has_traces
    monkeypatch.setattr(scrub, "PATIENCE_S", 60)
    await hall.round()
    assert not (await hall.now()).has_traces
    assert await scrub.scrub(hall.store, ARTEFACT_KEYS.table)
    assert log.stat().st_size == 0


async def test_a_crash_between_key_and_file_is_finished_by_the_next_round(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freehold.surfaces.ceremony.delivery import destruction

    async def crash(*_arguments: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(destruction, "clear_traces", crash)
        with pytest.raises(KeyboardInterrupt):
            await destroy(hall.store, hall.settings, hall.tenant, hall.artefact.id, because="it ends")
    assert hall.file.exists()
    with pytest.raises(Gone):
        await wrapped_key(hall.store, hall.tenant, hall.artefact)
    await hall.round()
    assert not hall.file.exists()
    assert not (await hall.now()).has_traces


async def test_without_a_place_for_audit_entries_nothing_is_released_but_everything_is_destroyed(
    hall: Hall, tmp_path: Path
) -> None:
    value = await hall.ticket()
    witness = hall.tenant.witness
    hall.tenant = replace(hall.tenant, witness=Witnesses([FileSink(tmp_path)]))
    with pytest.raises(FreeholdError) as refused:
        await hall.ask(value)
    assert refused.value.code == "audit_unavailable"
    assert (await hall.now()).sent_bytes == 0
    assert await destroy(hall.store, hall.settings, hall.tenant, hall.artefact.id, because="it ends")
    assert not hall.file.exists()
    assert (await hall.now()).is_unrecorded
    hall.tenant = replace(hall.tenant, witness=witness)
    await hall.round()
    assert (await hall.actions())[-1] == "artefact.destroyed"
    assert not (await hall.now()).is_unrecorded


async def test_files_that_belong_to_nothing_are_removed_and_those_in_use_stay(hall: Hall) -> None:
    folder = folder_of(hall.settings)
    (folder / "art_orphan.sealed").write_bytes(b"noise")
    (folder / "art_draft.part").write_bytes(b"noise")
    # Files have the machine's time, and this clock another.
    await reconcile(hall.store, hall.settings, [hall.tenant], uptime=lambda: hall.uptime, grace_ms=-(10**12))
    assert sorted(path.name for path in folder.iterdir()) == [hall.file.name]


async def test_a_file_that_was_changed_on_the_disk_is_not_handed_out(hall: Hall) -> None:
    content = bytearray(hall.file.read_bytes())
    content[2_000_000] ^= 1
    hall.file.write_bytes(content)
    received = b""
    with pytest.raises(FreeholdError):
        async for piece in body_of(await hall.ask(await hall.ticket())):
            received += piece
    assert received == MESSAGE[: len(received)]
    assert (await hall.now()).downloads == 0
    assert (await hall.actions())[-1] == "artefact.download_broken_off"
