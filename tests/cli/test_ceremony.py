"""freehold ceremony verify and freehold audit verify: their exit status is what scripts go by."""

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from freehold.cli.audit import app as audit_app
from freehold.cli.ceremony import app
from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies.bundle import write_bundle
from tests.support.ceremonies import Hall, ada, bob, clock, hall

__all__ = ["ada", "bob", "clock", "hall"]
RUNNER = CliRunner()
pytestmark = pytest.mark.parametrize("database", ["sqlite"], scope="session")


def run(*words: str) -> tuple[int, str]:
    done: list[tuple[int, str]] = []

    def work() -> None:
        result = RUNNER.invoke(
            app if words[0] != "audit" else audit_app, list(words if words[0] != "audit" else words[1:])
        )
        done.append((result.exit_code, result.output))

    # The commands bring their own event loop.
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return done[0]


async def test_a_receipt_is_judged_by_the_exit_status(
    hall: Hall, ada: Administrator, bob: Administrator, tmp_path: Path, database: str
) -> None:
    ceremony = await hall.at("downloaded", ada, bob)
    receipt = tmp_path / "receipt.zip"
    receipt.write_bytes(await write_bundle(hall.store, hall.tenant, ceremony))

    status, output = run("verify", str(receipt))
    assert (status, output.splitlines()[0]) == (0, "genuine")
    assert "self-declared" in output
    status, output = run("verify", str(receipt), "--json")
    assert json.loads(output)["requester"] == ada.email
    status, output = run("verify", str(receipt), "--audit-key", "00" * 32, "--json")
    assert (status, json.loads(output)["code"]) == (1, "other_key")
    receipt.write_bytes(receipt.read_bytes()[:-1])
    status, output = run("verify", str(receipt))
    assert (status, "refused (not_a_bundle)" in output or "refused (not_canonical)" in output) == (1, True)


async def test_a_bent_log_is_judged_by_the_exit_status(
    hall: Hall, ada: Administrator, bob: Administrator, tmp_path: Path, database: str
) -> None:
    await hall.at("possess", ada, bob)
    data = ["--data", str(hall.settings.data_dir), "--database", hall.store.url]
    hall.settings.data_dir.chmod(0o700)

    status, output = run("audit", "head", *data)
    head = tmp_path / "head.json"
    head.write_text(output)
    assert status == 0
    status, output = run("audit", "verify", "--from", str(head), *data)
    assert status == 0, output
    assert output.startswith("ok: ")
    await hall.store.run("update audit_entries set ip = '198.51.100.1' where seq = 4")
    status, output = run("audit", "verify", *data)
    assert (status, output) == (1, "bad: entry 4: it is not what its hash is of\n")
