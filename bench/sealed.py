"""A sealed export of many users: how fast it is made, against the OpenPGP library alone on the same bytes, in how much
memory.

Both encrypt to a key that GnuPG made as the guide says, RSA of 4096 bits, from a file to a file that is on the disk
when the clock stops. The library works in one thread; the export uses every core, so that its CPU time stands beside.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.bulk import _import, write_users
from bench.command import environment, run_command
from bench.limits import Limits
from bench.load import family
from bench.report import Figure, Report
from freehold.cli.options import opened, settings_for
from freehold.kernel.jobs import run_in_child
from freehold.surfaces.ceremony.build.builder import Order, Outcome, Recipient, run
from tests.support.server import start_server
from tests.surfaces.ceremony.keys import new_recipient

NAMES = {"sealed_export", "sealed_export_memory"}
KINDS = ("mfa_secrets", "password_hashes", "private_keys", "write_only_secrets")
SAMPLE_S = 0.25
_ALONE = """
import os, sys, time
from pysequoia import Cert, encrypt_file
certificate = Cert.from_file(sys.argv[1])
began = time.perf_counter(), time.process_time()
encrypt_file(sys.argv[2], sys.argv[3], recipients=[certificate], armor=False)
with open(sys.argv[3], "rb") as file:
    os.fsync(file.fileno())
print(time.perf_counter() - began[0], time.process_time() - began[1])
"""


def measure(names: list[str], folder: Path, report: Report, users: int, say: Callable[[str], None]) -> None:
    """Import the users, build their export, and let OpenPGP encrypt as many bytes by itself."""
    if not NAMES & set(names):
        return
    if shutil.which("gpg") is None:
        report.notes.append("Left out: the sealed export, because GnuPG is not on this machine.")
        return
    say(f"a sealed export of {users:,} users")
    data, files = folder / "sealed", folder / "sealed-source"
    files.mkdir()
    write_users(files, users)
    with start_server(data):
        pass
    run_command(*_import(files, data))
    with tempfile.TemporaryDirectory(prefix="g") as home:
        made = new_recipient(Path(home), bits=4096)
    recipient = Recipient(certificate=made.certificate, subkeys=made.subkeys)
    order = asyncio.run(_order(data, folder / "sealed.part", recipient))
    report.limits.append(Limits.measure())
    took_s, cpu_s, peak_mib, size = _build(order)
    (folder / "bench.asc").write_text(made.certificate)
    plain = folder / "sealed.plain"
    with plain.open("wb") as file:
        for _ in range(-(-size // (1 << 20))):
            file.write(os.urandom(1 << 20))
    command = [sys.executable, "-c", _ALONE, str(folder / "bench.asc"), str(plain), str(folder / "sealed.alone")]
    said = subprocess.run(command, check=True, capture_output=True, env=environment()).stdout
    alone_s, alone_cpu_s = map(float, said.split())
    plain.unlink()
    raw = (
        f"{size / took_s / 1e6:.0f} against {size / alone_s / 1e6:.0f} MB/s on {os.cpu_count()} cores, "
        f"CPU {cpu_s / users * 1e6:.1f} against {alone_cpu_s / users * 1e6:.1f} us a user"
    )
    if "sealed_export" in names:
        report.add(Figure("sealed_export", "SQLite", 100 * alone_s / took_s, raw))
    if "sealed_export_memory" in names:
        report.add(Figure("sealed_export_memory", "SQLite", peak_mib, "all its processes"))


async def _order(data: Path, target: Path, recipient: Recipient) -> Order:
    settings = settings_for(data, None)
    async with opened(settings) as installation:
        (tenant,) = await installation.tenants.all()
        return Order(
            database_url=settings.store_url, master_key=str(settings.data.master_key), tenant_id=tenant.id,
            ceremony_id="bench", artefact_id="bench", digest="", kinds=KINDS, recipients=(recipient,),
            target=str(target),
        )  # fmt: skip


def _build(order: Order) -> tuple[float, float, float, int]:
    """Seconds, seconds of CPU, the most memory of all processes together, and the size of the message."""
    peak_kib, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak_kib
        while not done.wait(SAMPLE_S):
            peak_kib = max(peak_kib, sum(_memory_kib(pid) for pid in family(os.getpid()) if pid != os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, spent = time.perf_counter(), _cpu_s()
    try:
        answer = asyncio.run(run_in_child(run, msgspec.json.encode(order), niceness=0))
    finally:
        took_s, cpu_s = time.perf_counter() - began, _cpu_s() - spent
        done.set()
        watcher.join()
    outcome = msgspec.json.decode(answer, type=Outcome)
    if outcome.built is None:
        raise RuntimeError(f"the export was not built: {outcome.message}")
    return took_s, cpu_s, peak_kib / 1024, outcome.built.sealed.size


def _memory_kib(pid: int) -> int:
    """What it has in memory; of what several share, its part."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
