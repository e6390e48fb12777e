"""A sealed export of many users: how fast it is made, against the OpenPGP library alone on the same bytes, in how much
memory.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from pysequoia import CipherSuite, Profile, Tsk
from pysequoia.packet import PacketPile, PublicKeyAlgorithm, Tag

from bench.bulk import _import, write_users
from bench.command import _high_water_kib, environment, run_command
from bench.limits import Limits
from bench.load import family
from bench.report import Figure, Report
from freehold.cli.options import opened, settings_for
from freehold.kernel.jobs import run_in_child
from freehold.surfaces.ceremony.build.builder import Order, Outcome, Recipient, run
from tests.support.server import start_server

NAMES = {"sealed_export", "sealed_export_memory"}
KINDS = ("mfa_secrets", "password_hashes", "private_keys", "write_only_secrets")
SAMPLE_S = 0.05
_ALONE = """
import sys, time
from pysequoia import Cert, encrypt_file
certificate = Cert.from_file(sys.argv[1])
began = time.perf_counter()
encrypt_file(sys.argv[2], sys.argv[3], recipients=[certificate], armor=False)
print(time.perf_counter() - began)
"""


def measure(names: list[str], folder: Path, report: Report, users: int, say: Callable[[str], None]) -> None:
    """Import the users, build their export, and let OpenPGP encrypt as many bytes by itself."""
    if not NAMES & set(names):
        return
    say(f"a sealed export of {users:,} users")
    data, files = folder / "sealed", folder / "sealed-source"
    files.mkdir()
    write_users(files, users)
    with start_server(data):
        pass
    run_command(*_import(files, data))
    key = Tsk.generate(user_id="bench", cipher_suite=CipherSuite.Cv25519, profile=Profile.RFC4880)
    certificate = str(key.extract_certificate())
    packets = PacketPile.from_bytes(certificate.encode())
    subkeys = tuple(
        str(packet.fingerprint).upper()
        for packet in packets
        if packet.tag == Tag.PublicSubkey and packet.key_algorithm == PublicKeyAlgorithm.ECDH
    )
    order = asyncio.run(_order(data, folder / "sealed.part", Recipient(certificate=certificate, subkeys=subkeys)))
    report.limits.append(Limits.measure())
    took_s, peak_mib, size = _build(order)
    (folder / "bench.asc").write_text(certificate)
    plain = folder / "sealed.plain"
    with plain.open("wb") as file:
        for _ in range(-(-size // (1 << 20))):
            file.write(os.urandom(1 << 20))
    command = [sys.executable, "-c", _ALONE, str(folder / "bench.asc"), str(plain), str(folder / "sealed.alone")]
    alone_s = float(subprocess.run(command, check=True, capture_output=True, env=environment()).stdout)
    plain.unlink()
    raw = f"{size / took_s / 1e6:.0f} against {size / alone_s / 1e6:.0f} MB/s"
    if "sealed_export" in names:
        report.add(Figure("sealed_export", "SQLite", 100 * alone_s / took_s, raw))
    if "sealed_export_memory" in names:
        report.add(Figure("sealed_export_memory", "SQLite", peak_mib, "largest of its processes"))


async def _order(data: Path, target: Path, recipient: Recipient) -> Order:
    settings = settings_for(data, None)
    async with opened(settings) as installation:
        (tenant,) = await installation.tenants.all()
        return Order(
            database_url=settings.store_url, master_key=str(settings.data.master_key), tenant_id=tenant.id,
            ceremony_id="bench", artefact_id="bench", digest="", kinds=KINDS, recipients=(recipient,),
            target=str(target),
        )  # fmt: skip


def _build(order: Order) -> tuple[float, float, int]:
    """Seconds, the largest memory of a process that took part, and the size of the message."""
    peak_kib, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak_kib
        while not done.wait(SAMPLE_S):
            others = [pid for pid in family(os.getpid()) if pid != os.getpid()]
            peak_kib = max([peak_kib, *(_high_water_kib(pid) for pid in others)])

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        answer = asyncio.run(run_in_child(run, msgspec.json.encode(order), niceness=0))
    finally:
        took_s = time.perf_counter() - began
        done.set()
        watcher.join()
    outcome = msgspec.json.decode(answer, type=Outcome)
    if outcome.built is None:
        raise RuntimeError(f"the export was not built: {outcome.message}")
    return took_s, peak_kib / 1024, outcome.built.sealed.size
