"""`--encrypt-to` of the commands that write archives."""

from pathlib import Path

import pytest
from pysequoia import Tsk

from freehold.kernel.crypto.openpgp import decrypt_file, is_pgp_message
from freehold.surfaces.transfer.archive import verify
from tests.support.commands import freehold
from tests.support.server import start_server


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encrypted") / "data"
    with start_server(folder):
        return folder


@pytest.mark.parametrize("command", [("export",), ("vault", "export", "--yes")])
def test_an_archive_can_be_sealed_to_its_reader(data: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    owner = Tsk.generate(user_id="Owner <owner@example.com>")
    public, secret = tmp_path / "public.asc", tmp_path / "secret.asc"
    public.write_text(str(owner.extract_certificate()))
    secret.write_text(str(owner))
    sealed, opened = tmp_path / "sealed.pgp", tmp_path / "opened.tar.gz"

    freehold(*command, "--data", str(data), "--output", str(sealed), "--encrypt-to", str(public))

    assert is_pgp_message(sealed.read_bytes()[:64])
    decrypt_file(sealed, opened, secret_key_path=secret)
    assert verify(opened).tenant.name == "main"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "opened.tar.gz",
        "public.asc",
        "sealed.pgp",
        "secret.asc",
    ]
