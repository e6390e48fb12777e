"""The commands with which a tenant leaves and is restored, with the real gpg."""

import stat
from pathlib import Path

import pytest

from tests.support.commands import freehold
from tests.support.gnupg_homes import run_gpg
from tests.support.server import LiveServer


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, Path]:
    """A GnuPG home with a secret key, and the public key's file."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    run_gpg(home, "--quick-generate-key", "Ada <ada@example.com>", "default", "default", "1y")
    public = tmp_path / "ada.asc"
    public.write_bytes(run_gpg(home, "--armor", "--export", "ada@example.com"))
    return home, public


@pytest.mark.gnupg
def test_an_archive_encrypted_to_a_key_opens_with_gpg_and_restores(
    tenant: LiveServer, key: tuple[Path, Path], tmp_path: Path
) -> None:
    home, public = key
    sealed, sealed_vault = tmp_path / "tenant.pgp", tmp_path / "vault.pgp"
    freehold("export", "--output", str(sealed), "--encrypt-to", str(public), beside=tenant)
    freehold("vault", "export", "--output", str(sealed_vault), "--encrypt-to", str(public), "--yes", beside=tenant)
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name or path.suffix == ".sealed"]

    refused = freehold("restore", str(sealed), "--data", str(tmp_path / "copy"), check=False)
    assert refused.returncode == 1
    assert "decrypt it first" in refused.stderr
    run_gpg(home, "--output", str(tmp_path / "tenant.tar.gz"), "--decrypt", str(sealed))
    run_gpg(home, "--output", str(tmp_path / "vault.tar.gz"), "--decrypt", str(sealed_vault))
    arguments = ("restore", str(tmp_path / "tenant.tar.gz"), "--vault", str(tmp_path / "vault.tar.gz"))
    freehold(*arguments, "--data", str(tmp_path / "copy"))

    freehold("export", "--data", str(tmp_path / "copy"), "--output", str(tmp_path / "again.tar.gz"))
    assert (tmp_path / "again.tar.gz").read_bytes() == (tmp_path / "tenant.tar.gz").read_bytes()
    again = freehold(*arguments, "--data", str(tmp_path / "copy"), check=False)
    assert again.returncode == 1
    assert "is here already" in again.stderr


def test_the_vault_leaves_loudly_with_an_entry_in_the_log_and_never_by_accident_in_the_clear(
    tenant: LiveServer, tmp_path: Path
) -> None:
    target = tmp_path / "vault.tar.gz"
    assert freehold("vault", "export", "--output", str(target), "--yes", beside=tenant, check=False).returncode == 1
    assert not target.exists()
    done = freehold("vault", "export", "--output", str(target), "--yes", "--plaintext", beside=tenant)
    assert "password hashes, MFA secrets, private keys" in done.stderr
    with tenant.management() as api:
        descriptions = [entry["description"] for entry in api.get("/logs", params={"per_page": 20}).json()]
    assert "The operator exported the vault on the server" in descriptions


def test_without_the_master_key_the_vault_stays_shut(tenant: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = freehold(
        "vault", "export", "--data", str(tmp_path / "data"), "--output", str(tmp_path / "v"), "--plaintext", "--yes",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "master key" in done.stderr
