"""What the project's files say holds on every machine: no path, host or mirror of the one they were written on."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.project import ROOT, project_files

# Home directories, and the folders of build machines; a path in a document is one that an operator would have.
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(?:home|Users|root|work|builds?|workspace)/[\w.-]+")
# Package indexes and mirrors are a matter of each machine's configuration.
REGISTRY = re.compile(r"\b(?:pypi|pythonhosted|npmjs|yarnpkg|piwheels|deb\.debian)\.(?:org|com)\b", re.IGNORECASE)


def machine_paths(path: str, text: str) -> list[str]:
    own = [str(ROOT), str(Path.home()), str(Path(sys.base_prefix))]
    of_this_machine = "|".join(re.escape(place) for place in own if place.count("/") > 1 and place != "/usr/local")
    found = [*MACHINE_PATH.finditer(text), *(re.finditer(rf"(?:{of_this_machine})\b", text) if of_this_machine else [])]
    return [f"{path}: {match.group()}" for match in found]


def registry_hosts(path: str, text: str) -> list[str]:
    return [f"{path}: {match.group()}" for match in REGISTRY.finditer(text)]


def unpacked(paths: list[str], patterns: list[str]) -> list[str]:
    """Return the files under src/freehold that an installed package would lack."""
    return [path for path in paths if not any(re.fullmatch(as_expression(pattern), path) for pattern in patterns)]


def as_expression(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


def texts() -> list[tuple[str, str]]:
    files = [(path.relative_to(ROOT), path.read_bytes()) for path in project_files()]
    return [(str(path), content.decode("utf-8")) for path, content in files if b"\0" not in content]


def test_no_file_names_a_place_of_one_machine() -> None:
    assert [finding for path, text in texts() for finding in machine_paths(path, text)] == []


def test_no_file_names_a_package_registry() -> None:
    assert [finding for path, text in texts() for finding in registry_hosts(path, text)] == []


def test_no_archive_key_or_database_is_kept() -> None:
    kept = {".pem", ".key", ".db", ".sqlite", ".sqlite3", ".gz", ".zip", ".p12", ".pfx"}

    assert [str(path.relative_to(ROOT)) for path in project_files() if path.suffix in kept] == []


def test_scripts_that_are_run_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"]).returncode == 0


def test_everything_beside_the_code_is_packed() -> None:
    package = ROOT / "src" / "freehold"
    beside = [str(path.relative_to(package)) for path in project_files() if path.is_relative_to(package)]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

    assert unpacked([path for path in beside if not path.endswith(".py")], settings["package-data"]["freehold"]) == []


def test_an_unpacked_file_is_found() -> None:
    paths = ["migrations/1.sql", "login/static/a/b.css", "migrations/old/1.sql", "login/x.html"]

    assert unpacked(paths, ["migrations/*.sql", "login/static/**"]) == ["migrations/old/1.sql", "login/x.html"]


def test_a_place_of_one_machine_is_found() -> None:
    home = "/".join(["", "home", "ada"])
    elsewhere = "/var/lib/freehold /usr/bin/env ./work/x ~/root/x https://x.example/home/a"

    assert machine_paths("f", f"cd {home}/src") == [f"f: {home}"]
    assert machine_paths("f", f"cp x {ROOT}/y")
    assert machine_paths("f", elsewhere) == []


def test_a_package_registry_is_found() -> None:
    host = ".".join(["npmjs", "org"])

    assert registry_hosts("f", f"https://registry.{host}/auth0") == [f"f: {host}"]
