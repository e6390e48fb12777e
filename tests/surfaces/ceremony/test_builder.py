"""A sealed export from a real tenant: gpg opens it, others read its files, and Freehold restores from it."""

import shutil
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from freehold.domain.ceremonies import ensure_export_key, export_certificates, export_keys
from freehold.kernel import vault
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.openpgp import UnusableCertificate
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, migrate, open_store
from freehold.registry import REGISTRY
from freehold.surfaces.ceremony.build import builder, contents
from freehold.surfaces.ceremony.build.builder import Built
from freehold.surfaces.ceremony.build.builder import Recipient as OrderedRecipient
from freehold.surfaces.ceremony.build.contents import InVault
from freehold.surfaces.ceremony.build.sealing import BuildFailed, sealing
from freehold.surfaces.transfer.archive import TenantFacts, verify
from freehold.surfaces.transfer.exporting import export_tenant
from freehold.surfaces.transfer.restoring import restore_tenant
from freehold.surfaces.transfer.sealed import export_vault
from tests.support.full_tenant import directory
from tests.support.gnupg_homes import run_gpg
from tests.surfaces.ceremony.conftest import Build, message_of
from tests.surfaces.ceremony.keys import Recipient, new_recipient

pytestmark = pytest.mark.quick_on("sqlite")


@pytest.fixture
def opened(tmp_path: Path, tenant: TenantScope, recipient: Recipient) -> Callable[[Built], Path]:
    """The decrypted tar of a build."""

    def make(made: Built) -> Path:
        message, plain = tmp_path / "export.pgp", tmp_path / "export.tar"
        message.write_bytes(message_of(tmp_path / "art_1.part", made.wrapped_key, tenant.id))
        recipient.decrypt(message, plain)
        return plain

    return make


def files(tar: Path) -> dict[str, bytes]:
    with tarfile.open(tar) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


async def test_gpg_opens_it_and_the_manifest_is_true(
    built: Build, opened: Callable[[Built], Path], tenant: TenantScope, tmp_path: Path, recipient: Recipient
) -> None:
    made = await built()

    sealed = tmp_path / "art_1.part"
    message = message_of(sealed, made.wrapped_key, tenant.id)
    assert (made.sealed.size, made.sealed.sha256) == (len(message), sha256(message).hexdigest())
    assert made.sealed.sealed_size == sealed.stat().st_size
    assert made.sealed.recipients == [recipient.subkeys[0][-16:]]
    plain = opened(made)
    manifest = verify(plain)
    assert manifest.format == "freehold-sealed-export"
    assert isinstance(manifest.ceremony, dict)
    assert manifest.ceremony["digest"] == "ab" * 32
    assert manifest.ceremony["counts"] == made.counts
    assert manifest.rows == made.counts["values"]
    inside = files(plain)
    assert inside["evidence/request.json"] == b"{}"
    assert all(inside[member.path].count(b"\n") == member.rows for member in manifest.members if member.rows)


async def test_gpg_knows_who_signed_it(
    store: Store, tenant: TenantScope, built: Build, tmp_path: Path, recipient: Recipient
) -> None:
    async with store.transaction() as tx:
        await tx.run("delete from export_keys")  # what stands there is none that could sign
    fingerprint = await ensure_export_key(store, tenant)
    made = await built(signer=export_keys.owner(fingerprint))

    assert await ensure_export_key(store, tenant) == fingerprint
    certificate = (await export_certificates(store, tenant))[fingerprint]
    message = tmp_path / "export.pgp"
    message.write_bytes(message_of(tmp_path / "art_1.part", made.wrapped_key, tenant.id))
    run_gpg(recipient.home, "--import", stdin=certificate.encode())
    said = run_gpg(
        recipient.home, "--status-fd", "1", "--output", str(tmp_path / "export.tar"), "--decrypt", str(message)
    )
    (valid,) = [line.split() for line in said.decode(errors="replace").splitlines() if " VALIDSIG " in line]
    assert valid[-1] == fingerprint
    inside = files(tmp_path / "export.tar")
    assert f"private-keys/{fingerprint}.asc" in inside
    assert b"PRIVATE KEY BLOCK" in inside[f"private-keys/{fingerprint}.asc"]


async def test_nothing_is_built_unsigned_when_the_key_is_missing(built: Build, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as failed:
        await built(signer=export_keys.owner("AB" * 30))
    assert failed.value.reason == "nothing_to_sign_with"
    assert not (tmp_path / "art_1.part").exists()


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_documents_and_the_sealed_export_restore_the_whole_tenant(
    store: Store, tenant: TenantScope, built: Build, opened: Callable[[Built], Path], tmp_path: Path
) -> None:
    plain = opened(await built())
    with (tmp_path / "tenant.tar.gz").open("wb") as file:
        await export_tenant(store, tenant, REGISTRY, file)
    other = open_store(f"sqlite:///{tmp_path / 'elsewhere.db'}", clock=FakeClock())
    await migrate(other)
    tenants = directory(other, REGISTRY, MasterKey([bytes([7]) * 32]))

    async def adopt(tx: Any, facts: TenantFacts) -> TenantScope:
        return await tenants.adopt(tx, facts.id, facts.name, facts.domain)

    await restore_tenant(other, REGISTRY, tmp_path / "tenant.tar.gz", adopt=adopt, vault_path=plain)
    for where, source, scope in (("here", store, tenant), ("there", other, await tenants.by_name("full"))):
        with (tmp_path / where).open("wb") as file:
            await export_vault(source, scope, REGISTRY, file)
    await other.close()
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


async def test_only_the_approved_kinds_are_inside(built: Build, opened: Callable[[Built], Path]) -> None:
    inside = files(opened(await built(kinds=("mfa_secrets",))))
    assert {name.split("/")[0] for name in inside} <= {
        "README.txt", "evidence", "manifest.json", "vault", "mfa-secrets.ndjson", "mfa-factors-other.ndjson",
    }  # fmt: skip
    assert {name.split("/")[1] for name in inside if name.startswith("vault/")} == {"mfa_secrets"}


async def test_a_request_for_some_connections_gets_their_users_alone(
    store: Store, tenant: TenantScope, built: Build, opened: Callable[[Built], Path]
) -> None:
    async with store.transaction() as tx:
        await vault.put(tx, tenant, "password_hashes", "admin|adm_1", b"$2b$10$" + b"a" * 53)
    made = await built(kinds=("password_hashes",), connections=("nobody-is-here",))
    inside = files(opened(made))
    assert not [name for name in inside if "vault" in name or "hashes" in name]
    assert made.counts["left_out_by_connection"]["password_hashes"] >= 2
    assert msgspec.json.decode(inside["manifest.json"])["left_out"]


async def test_administrators_are_in_the_sealed_part_alone(
    store: Store, tenant: TenantScope, built: Build, opened: Callable[[Built], Path]
) -> None:
    async with store.transaction() as tx:
        await vault.put(tx, tenant, "password_hashes", "admin|adm_1", b"$2b$10$" + b"a" * 53)
        await vault.put(tx, tenant, "mfa_secrets", "admin|adm_1", b'{"secret":"ADMINSECRET"}', name="totp")
    inside = files(opened(await built()))
    assert b"adm_1" in inside["vault/password_hashes/000001.ndjson"]
    assert b"ADMINSECRET" in inside["vault/mfa_secrets/000001.ndjson"]
    for name, content in inside.items():
        if not name.startswith("vault/"):
            assert b"adm_1" not in content, name


async def test_nothing_remains_when_it_cannot_be_encrypted(
    built: Build, tmp_path: Path, recipient: Recipient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = new_recipient(tmp_path_factory.mktemp("g"), "Eve <eve@example.com>")
    wrong = (OrderedRecipient(certificate=stranger.certificate, subkeys=recipient.subkeys),)
    with pytest.raises(UnusableCertificate):
        await built(recipients=wrong)
    with pytest.raises(BuildFailed):
        await built(recipients=())
    assert not (tmp_path / "art_1.part").exists()


async def test_an_export_encrypted_to_more_or_fewer_than_approved_is_not_finished(
    built: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if OpenPGP had encrypted to another subkey than it was told to: reading back shows it."""
    honest = sealing

    def with_other_approval(*arguments: Any, **options: Any) -> Any:
        return honest(*arguments, **{**options, "approved": ["0" * 40]})

    monkeypatch.setattr(builder, "sealing", with_other_approval)
    with pytest.raises(BuildFailed) as failed:
        await built()
    assert failed.value.reason == "bad_message"
    assert not (tmp_path / "art_1.part").exists()


async def test_a_value_that_was_not_read_stops_the_export(
    built: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = contents.count_values

    async def one_more(*arguments: Any) -> dict[str, InVault]:
        return {kind: InVault(found.values + 1, found.bytes) for kind, found in (await honest(*arguments)).items()}

    monkeypatch.setattr(builder, "count_values", one_more)
    with pytest.raises(BuildFailed) as failed:
        await built()
    assert failed.value.reason == "counts_differ"
    assert not (tmp_path / "art_1.part").exists()


async def test_a_disk_without_room_is_seen_before_anything_is_written(
    built: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1 << 20))
    with pytest.raises(BuildFailed) as failed:
        await built()
    assert failed.value.reason == "disk_full"
    assert not (tmp_path / "art_1.part").exists()
