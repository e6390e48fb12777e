"""Runs JavaScript with the client libraries of tests/js.

`run_node` takes an ES module's text. It is run in tests/js, so that `import` finds the locked packages there.
"""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import JS_CLIENTS, MARKERS, find_node

RunNode = Callable[..., str]


@pytest.fixture(scope="session")
def run_node() -> RunNode:
    """Return a function that runs a module and gives what it printed; one that fails, fails the test."""
    node = find_node()
    if node is None:
        pytest.skip(MARKERS["node"].missing)

    def run(module: str, *arguments: str, ca_file: Path | None = None, timeout_s: float = 60) -> str:
        trust = {"NODE_EXTRA_CA_CERTS": str(ca_file)} if ca_file else {}
        finished = subprocess.run(
            [node, "--input-type=module", "-", *arguments],
            input=module,
            capture_output=True,
            text=True,
            cwd=JS_CLIENTS,
            env=os.environ | trust,
            timeout=timeout_s,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run
