"""Runs the worker's own tests, which are JavaScript."""

import os
import subprocess
from pathlib import Path

import pytest

from freehold.domain.extensions.sandbox import SandboxUnavailable
from freehold.domain.extensions.sandbox.runtime import WORKER, find_node

TESTS = Path(__file__).with_name("worker.test.cjs")


def test_the_parts_of_the_worker() -> None:
    try:
        node = find_node()
    except SandboxUnavailable as error:
        pytest.skip(error.message)
    finished = subprocess.run(
        [node.executable, "--experimental-vm-modules", "--no-warnings", "--test-reporter=tap", "--test", TESTS],
        env=os.environ | {"FREEHOLD_WORKER": str(WORKER)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert finished.returncode == 0, finished.stdout
    assert "# pass 6" in finished.stdout
