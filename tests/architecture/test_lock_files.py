"""The lock files hold everything that the .in files ask for, pinned by digest, and no place to get it from."""

import json
import re

from scripts.lock import question
from tests.architecture.project import ROOT

PIN = re.compile(r"^([a-z0-9.-]+)==([^\s\\]+)(?: ; ([^\\]+?))? ?\\?$", re.MULTILINE)
LOCKS = {
    "requirements.txt": "requirements.in",
    "requirements-dev.txt": "requirements-dev.in",
}
# Holds compiled code for the usual platforms; its script would only compile it for others.
WORKS_WITHOUT_ITS_SCRIPT = {"node_modules/bcrypt"}


def asked_for(source: str) -> set[str]:
    """Return the names in an .in file and in those it includes."""
    names: set[str] = set()
    for line in (ROOT / source).read_text().splitlines():
        if line.startswith("-r "):
            names |= asked_for(line.removeprefix("-r ").strip())
        elif name := re.match(r"[A-Za-z0-9._-]+", line):
            names.add(re.sub(r"[._-]+", "-", name.group()).lower())
    return names


def pins(lock: str) -> dict[str, str]:
    """Return what a lock file's text pins: versions by name; a name with several, by platform, has them all."""
    versions: dict[str, str] = {}
    for name, version, _ in PIN.findall(lock):
        versions[name] = f"{versions[name]} {version}" if name in versions else version
    return versions


def without_digest(lock: str) -> list[str]:
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return [entry.split()[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry]


def test_all_that_is_asked_for_is_locked() -> None:
    for target, source in LOCKS.items():
        lock = (ROOT / target).read_text()

        assert asked_for(source) <= pins(lock).keys(), "run: make lock"
        assert f"# Answers {question(source)}\n" in lock, f"{source} has changed; run: make lock"


def test_the_tests_run_with_the_versions_that_users_get() -> None:
    users, tests = (pins((ROOT / target).read_text()) for target in LOCKS)

    assert users.items() <= tests.items()


def test_every_file_is_pinned_by_digest() -> None:
    for target in [*LOCKS, "scripts/lock-requirements.txt"]:
        lock = (ROOT / target).read_text()

        assert without_digest(lock) == []
        assert "://" not in lock
        assert not re.search(r"^--", lock, re.MULTILINE), "a lock file sets no options: pip is configured by its user"


def test_the_javascript_clients_are_pinned_by_digest() -> None:
    lock = json.loads((ROOT / "tests" / "js" / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]

    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)
    with_scripts = {path for path, package in lock["packages"].items() if "hasInstallScript" in package}
    assert with_scripts <= WORKS_WITHOUT_ITS_SCRIPT, "npm ci runs no install scripts"


def test_a_lock_without_a_digest_is_found() -> None:
    lock = "a==1 \\\n    --hash=sha256:00\nb==2\nc==3 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"

    assert without_digest(lock) == ["b==2"]
    assert pins(lock) == {"a": "1", "b": "2", "c": "3"}
