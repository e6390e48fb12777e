"""Install Debian packages where nobody has to be asked: apt-get is there, and we are root or may become it.

`FREEHOLD_APT=no` forbids it.
"""

import os
import shutil
import subprocess


def can_apt_install() -> bool:
    """Whether packages can be installed without a question being asked."""
    return os.environ.get("FREEHOLD_APT") != "no" and shutil.which("apt-get") is not None and _as_root() is not None


def apt_install(packages: list[str]) -> bool:
    """Install the packages with what they need, nothing they recommend; False when that did not work."""
    as_root = _as_root()
    if as_root is None:
        return False
    print(f"apt-get: installing {' '.join(packages)} (FREEHOLD_APT=no forbids this)", flush=True)
    apt_get = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    # Without network this must end soon: what needs the packages is then left out and named.
    patience = ["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    subprocess.run([*apt_get, *patience, "update"])
    install = [*apt_get, *patience, "install", "--yes", "--no-install-recommends", *packages]
    return subprocess.run(install, stdout=subprocess.DEVNULL).returncode == 0


def _as_root() -> list[str] | None:
    """Return the words to put before a command that needs root, or None when it cannot be had."""
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    if shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True).returncode == 0:
        return sudo
    return None
