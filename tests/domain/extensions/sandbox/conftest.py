"""Sandboxes for tests."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.domain.extensions.sandbox import Sandbox, SandboxUnavailable, processes, runtime
from tests.domain.extensions.sandbox.hostile import NAKED

OpenSandbox = Callable[..., Awaitable[Sandbox]]


@pytest.fixture
async def open_sandbox() -> AsyncIterator[OpenSandbox]:
    """Start sandboxes that end with the test. The level is `none`, so that what is missing here does not matter."""
    opened: list[Sandbox] = []

    async def open_one(**options: Any) -> Sandbox:
        sandbox = Sandbox(**{"require_level": "none", **options})
        opened.append(sandbox)
        try:
            await sandbox.start()
        except SandboxUnavailable as error:
            pytest.skip(error.message)
        return sandbox

    yield open_one
    for sandbox in opened:
        await sandbox.close()


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> Sandbox:
    """A sandbox with every layer that this machine offers."""
    return await open_sandbox()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, as it reaches an installation; pytest's own folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="freehold-sandbox-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def naked_worker(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the worker's code that also runs scripts outside of any context."""
    worker = open_folder / "worker"
    shutil.copytree(runtime.WORKER, worker)
    (worker / "kinds" / "naked.cjs").write_text(NAKED)
    for path in [worker, *worker.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    # The real functions of `net`, which the worker replaces, for scripts that have got hold of them.
    egress = (worker / "egress.cjs").read_text()
    (worker / "egress.cjs").write_text(
        "const n = require('node:net'); n._real = { connect: n.connect };\n" + egress.replace("'use strict';", "", 1)
    )
    monkeypatch.setattr(runtime, "WORKER", worker)
    monkeypatch.setattr(processes, "WORKER", worker)
    return worker
