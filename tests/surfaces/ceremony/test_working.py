"""A whole ceremony with a real file: prepared by its job, handed out, removed by its job."""

import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pysequoia import Cert, decrypt

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies import Ceremony
from freehold.domain.ceremonies.bundle import ARTEFACT, write_bundle
from freehold.domain.ceremonies.verify import verify_bundle
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.http.request import Request
from freehold.kernel.jobs import JobRunner
from freehold.surfaces.ceremony import package as surface
from freehold.surfaces.ceremony import working
from freehold.surfaces.ceremony.build.preparing import prepare_export
from freehold.surfaces.ceremony.build.sealing import BuildFailed
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.delivery.artefacts import Gone, artefacts_of
from freehold.surfaces.ceremony.delivery.download import answer_download
from freehold.surfaces.ceremony.delivery.stores import folder_of
from freehold.surfaces.ceremony.delivery.tickets import issue_ticket
from freehold.surfaces.transfer.archive import verify
from tests.support.asgi import http_scope
from tests.support.ceremonies import Hall, ada, bob, clock, hall, key_of

__all__ = ["ada", "bob", "clock", "hall"]
pytestmark = [pytest.mark.filterwarnings("ignore::RuntimeWarning"), pytest.mark.quick_on("sqlite")]


class Services:
    """What the jobs reach; the master key lies where their child looks for it."""

    def __init__(self, hall: Hall) -> None:
        self.store, self.tenants, self.settings = hall.store, hall.tenants, hall.settings
        self.keyring = Keyring(MasterKey.load(hall.settings.data.master_key))


async def run_jobs(hall: Hall) -> None:
    jobs = {**ceremonies.PACKAGE.jobs, **surface.PACKAGE.jobs}
    await JobRunner(hall.store, hall.clock, jobs, services=Services(hall)).run_due()


async def fetch(hall: Hall, person: Administrator, ceremony: Ceremony) -> bytes:
    acting = await hall.acting(person)
    (artefact,) = await artefacts_of(hall.store, hall.tenant, ceremony.id)
    async with hall.store.transaction() as tx:
        value, _ = await issue_ticket(tx, hall.tenant, artefact.id, actor_of(acting, "192.0.2.1"))

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    request = Request(http_scope("GET", "/", []), nothing, services=Services(hall))
    request.tenant = hall.tenant
    response = await answer_download(request, acting, value)
    assert response.stream_body is not None
    return b"".join([piece async for piece in response.stream_body])


@pytest.fixture
async def ordered(hall: Hall, ada: Administrator, bob: Administrator) -> Ceremony:
    """A ceremony that waits for its file."""
    return await hall.at("preparing", ada, bob)


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_the_file_is_prepared_handed_out_and_removed(
    hall: Hall, ada: Administrator, ordered: Ceremony, tmp_path: Path
) -> None:
    await run_jobs(hall)
    ready = await hall.get(ordered)
    assert ready.state == "ready"
    assert ready.artefact is not None

    message = await fetch(hall, ada, ready)
    opened = decrypt(message, decryptor=key_of(ada.email).decryptor())
    assert opened.bytes is not None
    (tmp_path / "export.tar").write_bytes(opened.bytes)
    manifest = verify(tmp_path / "export.tar")
    assert isinstance(manifest.ceremony, dict)
    assert manifest.ceremony["digest"] == ordered.digest
    assert any(member.path == "evidence/request.json" for member in manifest.members)
    assert (await hall.get(ordered)).state == "downloaded"

    attempt = await hall.attempt(ada)
    await ceremonies.cancel(attempt, ordered.id, reason="we have it")
    with pytest.raises(Gone):
        await fetch(hall, ada, ordered)
    await run_jobs(hall)
    assert (await hall.get(ordered)).state == "destroyed"
    assert list(folder_of(hall.settings).iterdir()) == []
    entries = await audit.entries_of(hall.store, hall.tenant, ordered.id)
    last = msgspec.json.decode(entries[-1].details)
    assert entries[-1].action == "ceremony.destroy"
    assert ready.artefact["sha256"] in str(last)
    assert await hall.log_is_whole()


async def test_an_export_is_signed_where_the_policy_wants_it_and_the_receipt_names_the_key(
    hall: Hall, ada: Administrator, ordered: Ceremony
) -> None:
    assert await ceremonies.export_certificates(hall.store, hall.tenant) == {}
    hall.configure(ceremony_sign_exports=True)
    await run_jobs(hall)
    ready = await hall.get(ordered)
    ((fingerprint, certificate),) = (await ceremonies.export_certificates(hall.store, hall.tenant)).items()
    assert ready.artefact is not None
    assert ready.artefact["signed_by"] == fingerprint

    keys = [Cert.from_bytes(certificate.encode())]
    message = await fetch(hall, ada, ready)
    opened = decrypt(message, decryptor=key_of(ada.email).decryptor(), store=lambda _key_ids: keys)
    assert [signature.certificate.upper() for signature in opened.valid_sigs] == [fingerprint]
    receipt = await write_bundle(hall.store, hall.tenant, await hall.get(ordered))
    assert (await verify_bundle(receipt)).complete
    with zipfile.ZipFile(io.BytesIO(receipt)) as bundle:
        assert msgspec.json.decode(bundle.read(ARTEFACT))["artefact"]["signed_by"] == fingerprint


async def test_a_ceremony_that_ended_while_its_file_was_made_gets_none(
    hall: Hall, ada: Administrator, ordered: Ceremony, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = prepare_export

    async def slowly(*arguments: Any) -> Any:
        made = await honest(*arguments)
        await ceremonies.cancel(await hall.attempt(ada), ordered.id, reason="stop")
        return made

    monkeypatch.setattr(working, "prepare_export", slowly)
    await run_jobs(hall)
    assert (await hall.get(ordered)).state == "cancelled"
    assert await artefacts_of(hall.store, hall.tenant, ordered.id) == []
    assert list(folder_of(hall.settings).iterdir()) == []


@pytest.mark.parametrize(("reason", "attempts"), [("bad_message", 1), ("disk_full", 3)])
async def test_a_build_that_fails_is_tried_again_where_that_may_help_and_ends_the_ceremony(
    hall: Hall, ordered: Ceremony, monkeypatch: pytest.MonkeyPatch, reason: str, attempts: int
) -> None:
    tried = []

    async def fail(*_arguments: Any) -> Any:
        tried.append(1)
        raise BuildFailed(reason, "It did not work.")

    monkeypatch.setattr(working, "prepare_export", fail)
    for _ in range(4):
        await run_jobs(hall)
        hall.clock.advance(seconds=60)
    failed = await hall.get(ordered)
    assert (failed.state, failed.reason, len(tried)) == ("failed", "It did not work.", attempts)


async def test_whoever_lost_a_role_before_the_build_gets_no_file(
    hall: Hall, ada: Administrator, bob: Administrator, ordered: Ceremony
) -> None:
    from freehold.domain.administrators import set_blocked

    async with hall.store.transaction() as tx:
        await set_blocked(tx, hall.tenant, bob.id, blocked=True)
    await run_jobs(hall)
    assert (await hall.get(ordered)).state == "failed"
    assert not folder_of(hall.settings).exists()
