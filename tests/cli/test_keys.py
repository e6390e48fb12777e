"""The master key is rotated: nothing is ever lost, also when it is interrupted, and a running server goes on."""

import asyncio
import fcntl
import json
import os
import random
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from freehold.cli.keys import WRAPPED
from freehold.domain.tenants.master_key import rewrap
from freehold.kernel.clock import FakeClock
from freehold.kernel.config import load_settings
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.store import open_store
from freehold.registry import REGISTRY
from tests.support.commands import freehold
from tests.support.server import start_server

ROWS = 3000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with one tenant."""
    folder = tmp_path / "data"
    freehold("tenants", "create", "acme", "--domain", "acme.example.com", "--data", str(folder))
    return folder


def wrapped_keys(data: Path) -> dict[str, bytes]:
    """Every tenant's data key, opened with the file as it is now."""
    keyring = Keyring(MasterKey.load(data / "master.key"))
    with sqlite3.connect(data / "freehold.db") as database:
        rows = database.execute("select tenant_id, wrapped from data_keys").fetchall()
    return {tenant_id: keyring.unwrap(wrapped) for tenant_id, wrapped in rows}


def outdated(data: Path) -> int:
    keyring = Keyring(MasterKey.load(data / "master.key"))
    with sqlite3.connect(data / "freehold.db") as database:
        return sum(keyring.needs_rewrap(wrapped) for (wrapped,) in database.execute("select wrapped from data_keys"))


def keys_in(data: Path) -> int:
    return len(MasterKey.load(data / "master.key").keys)


def add_data_keys(data: Path, rows: int) -> None:
    """Data keys of tenants that this test does not need."""
    keyring = Keyring(MasterKey.load(data / "master.key"))
    values = [(f"t_{n:08}", keyring.wrap(secrets.token_bytes(32)), 0) for n in range(rows)]
    with sqlite3.connect(data / "freehold.db") as database:
        database.executemany("insert into data_keys (tenant_id, wrapped, created_at) values (?, ?, ?)", values)


def test_every_table_with_wrapped_keys_is_known() -> None:
    tables = {table.name for table in REGISTRY.tables if "wrapped" in {column.name for column in table.columns}}

    assert {wrapped.table for wrapped in WRAPPED} == tables


def test_every_key_is_put_under_the_new_one_and_the_old_one_can_be_retired(data: Path) -> None:
    before = wrapped_keys(data)

    freehold("keys", "rotate-master", "--data", str(data))
    assert (keys_in(data), outdated(data)) == (2, 0)
    assert wrapped_keys(data) == before

    freehold("keys", "rotate-master", "--retire", "--data", str(data))
    assert (keys_in(data), outdated(data)) == (1, 0)
    assert wrapped_keys(data) == before
    assert "acme" in freehold("tenants", "list", "--data", str(data)).stdout


def test_a_running_server_takes_the_new_key(tmp_path: Path) -> None:
    with start_server(tmp_path / "data") as live:
        freehold("keys", "rotate-master", beside=live)
        freehold("tenants", "create", "shop", "--ready-file", str(tmp_path / "shop.json"), beside=live)
        facts = json.loads((tmp_path / "shop.json").read_text())
        with live.client() as http:
            shop = http.get("/.well-known/openid-configuration", headers={"host": facts["base_url"].split("/")[2]})
        refused = freehold("keys", "rotate-master", "--retire", beside=live, check=False)
        assert live.management_token()

    assert shop.json()["issuer"].startswith("https://shop.")
    assert refused.returncode != 0
    assert "stop it" in refused.stderr


def test_an_interrupted_rotation_is_finished_before_a_new_one(data: Path) -> None:
    before = wrapped_keys(data)
    MasterKey.load(data / "master.key").rotated(data / "master.key")
    assert outdated(data) == 1

    said = freehold("keys", "rotate-master", "--data", str(data)).stdout

    assert "interrupted" in said
    assert (keys_in(data), outdated(data)) == (2, 0)
    assert wrapped_keys(data) == before


def test_two_rotations_do_not_meet(data: Path) -> None:
    folder = os.open(data, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    refused = freehold("keys", "rotate-master", "--data", str(data), check=False)
    os.close(folder)

    assert refused.returncode != 0
    assert keys_in(data) == 1


def test_kill_9_loses_no_key(data: Path) -> None:
    add_data_keys(data, ROWS)
    before = wrapped_keys(data)
    command = [sys.executable, "-m", "freehold.cli", "keys", "rotate-master", "--data", str(data)]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    whole_s = time.monotonic() - began

    chance = random.Random(8)
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole_s * chance.uniform(0.5, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert wrapped_keys(data) == before

    freehold("keys", "rotate-master", "--data", str(data))
    freehold("keys", "rotate-master", "--retire", "--data", str(data))
    assert (keys_in(data), outdated(data)) == (1, 0)
    assert wrapped_keys(data) == before


def test_what_was_destroyed_stays_destroyed(data: Path) -> None:
    with sqlite3.connect(data / "freehold.db") as database:
        database.execute("insert into data_keys (tenant_id, wrapped, created_at) values ('t_gone', zeroblob(68), 0)")

    async def rotate() -> int:
        store = open_store(load_settings({"data_dir": data}).store_url, clock=FakeClock())
        keyring = Keyring(MasterKey.load(data / "master.key").rotated(data / "master.key"))
        try:
            return await rewrap(store, keyring, WRAPPED)
        finally:
            await store.close()

    assert asyncio.run(rotate()) == 1
    with sqlite3.connect(data / "freehold.db") as database:
        (gone,) = database.execute("select wrapped from data_keys where tenant_id = 't_gone'").fetchone()
    assert gone == bytes(68)
