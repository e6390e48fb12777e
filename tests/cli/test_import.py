"""`freehold import auth0`, as it is typed."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pysequoia import CipherSuite, Profile, Tsk

from freehold.cli import main
from freehold.demo.auth0_export import Export, write_export
from freehold.kernel.clock import SystemClock
from freehold.kernel.crypto.openpgp import encrypt_file
from freehold.kernel.store import open_store


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    callback = "https://shop.acme.example/callback"
    return write_export(tmp_path_factory.mktemp("auth0"), users=1500, callback=callback, cost=4)


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    main_without_exit("tenants", "create", "main", "--domain", "main.test", "--data", str(tmp_path / "data"))
    capsys.readouterr()
    return tmp_path / "data"


def main_without_exit(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def given(export: Export, data: Path, *more: str) -> list[str]:
    return [
        "import", "auth0", "--data", str(data), "--users", str(export.users), "--hashes", str(export.hashes),
        "--mfa", str(export.factors), "--config", str(export.config), *more,
    ]  # fmt: skip


def count_users(data: Path) -> int:
    async def count() -> int:
        store = open_store(f"sqlite:///{data / 'freehold.db'}", clock=SystemClock())
        try:
            row = await store.one("select count(*) from users")
            assert row is not None
            return int(row[0])
        finally:
            await store.close()

    return asyncio.run(count())


def test_a_dry_run_writes_nothing_but_its_report(
    export: Export, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"

    assert main_without_exit(*given(export, data, "--dry-run", "--report", str(report))) == 0

    assert capsys.readouterr().out.startswith("Dry run: nothing was written.")
    whole: dict[str, Any] = json.loads(report.read_text())
    assert whole["counts"]["users"] == {"to be inserted": export.rows, "read": export.rows}
    assert len([f for f in whole["findings"] if f["kind"] == "hash_without_user"]) == export.without_user
    assert count_users(data) == 0


def test_everything_is_imported_without_a_question_when_told_so(
    export: Export, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_without_exit(*given(export, data, "--yes", "--json")) == 0

    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["users"]["inserted"] == export.rows
    assert count_users(data) == export.rows
    with sqlite3.connect(data / "freehold.db") as database:
        (text,) = database.execute("select record from logs order by log_id desc limit 1").fetchone()
    entry = json.loads(text)
    assert (entry["type"], entry["description"]) == ("sapi", "The operator imported a tenant of Auth0's")
    assert entry["details"]["counts"] == counts


def test_configuration_of_a_kind_we_lack_is_refused_unless_it_is_to_be_skipped(
    export: Export, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config"
    (config / "organizations").mkdir(parents=True)
    (config / "organizations" / "acme.json").write_text('{"name": "acme"}')
    arguments = ["import", "auth0", "--data", str(data), "--config", str(config), "--yes"]

    assert main_without_exit(*arguments) == 1
    assert "--skip-unknown" in capsys.readouterr().err
    assert main_without_exit(*arguments, "--skip-unknown") == 0


def test_encrypted_files_are_decrypted_and_leave_nothing_in_clear(
    export: Export, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Tsk.generate(user_id="ada@example.test", cipher_suite=CipherSuite.Cv25519, profile=Profile.RFC4880)
    (tmp_path / "ada.key").write_text(str(key))
    sealed = tmp_path / "hashes.pgp"
    encrypt_file(export.hashes, sealed, recipients=[str(key.extract_certificate())])
    arguments = ["import", "auth0", "--data", str(data), "--users", str(export.users), "--hashes", str(sealed)]
    arguments += ["--connection", "staff-directory=Username-Password-Authentication", "--yes", "--json"]

    assert main_without_exit(*arguments) == 1
    assert "hashes.pgp is encrypted" in capsys.readouterr().err
    assert main_without_exit(*arguments, "--pgp-key", str(tmp_path / "ada.key")) == 0

    assert json.loads(capsys.readouterr().out)["counts"]["hashes"]["read"] > 0
    assert list((data / "tmp").iterdir()) == []


def test_a_damaged_encrypted_file_is_refused(export: Export, data: Path, tmp_path: Path) -> None:
    key = Tsk.generate(user_id="ada@example.test", cipher_suite=CipherSuite.Cv25519, profile=Profile.RFC4880)
    (tmp_path / "ada.key").write_text(str(key))
    sealed = tmp_path / "hashes.pgp"
    encrypt_file(export.hashes, sealed, recipients=[str(key.extract_certificate())])
    damaged = bytearray(sealed.read_bytes())
    damaged[-100] ^= 1
    sealed.write_bytes(damaged)
    arguments = ["--users", str(export.users), "--hashes", str(sealed), "--pgp-key", str(tmp_path / "ada.key")]

    assert main_without_exit("import", "auth0", "--data", str(data), *arguments, "--yes") == 1

    assert count_users(data) == 0
    assert list((data / "tmp").iterdir()) == []


@pytest.mark.slow
def test_killed_at_any_moment_it_is_completed_by_running_it_again(tmp_path: Path) -> None:
    export = write_export(tmp_path / "auth0", users=30_000, callback="https://shop.acme.example/callback", cost=4)
    data = tmp_path / "data"
    main_without_exit("tenants", "create", "main", "--domain", "main.test", "--data", str(data))
    command = [sys.executable, "-m", "freehold.cli", *given(export, data, "--yes", "--json")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    seen = [0]
    for goal in (1, 8_000, 20_000):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and count_users(data) < goal:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen.append(count_users(data))
        assert seen[-1] >= seen[-2], "a user who had arrived is gone"
        assert sealed_hashes(data) <= seen[-1], "a hash stands without its user"

    done = subprocess.run(command, env=environment, capture_output=True, check=True)

    assert json.loads(done.stdout)["counts"]["users"].get("present", 0) == seen[-1]
    assert count_users(data) == export.rows


def sealed_hashes(data: Path) -> int:
    async def count() -> int:
        store = open_store(f"sqlite:///{data / 'freehold.db'}", clock=SystemClock())
        try:
            row = await store.one("select count(*) from vault where kind = 'password_hashes'")
            assert row is not None
            return int(row[0])
        finally:
            await store.close()

    return asyncio.run(count())
