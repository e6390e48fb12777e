"""Make the virtual environment `.venv` from a hashed lock file: `python3 -m scripts.environment PURPOSE`.

The purpose `run` installs what the program needs, `develop` also what its tests need, `lock` what writes the lock
files. A stamp with the lock file's digest makes a second call free, so it needs no network.
Uses the standard library only. The package index, proxies and certificates are whatever pip is configured with.
"""

import hashlib
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

from scripts.debian import apt_install, can_apt_install

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCKS = {
    "run": ROOT / "requirements.txt",
    "develop": ROOT / "requirements-dev.txt",
    "lock": ROOT / "scripts" / "lock-requirements.txt",
}

# /bin/sh reads this as a call of Python (a shebang line could not hold a path with a space), Python as a string.
COMMAND = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from freehold.cli import main

sys.exit(main())
"""


def main(purpose: str) -> None:
    """Bring the environment up to the lock file of this purpose, or exit with what to do about it."""
    if is_current(purpose):
        return
    if not VENV_PYTHON.exists() or not made_by_this_python():
        make_venv()
    lock = LOCKS[purpose]
    say(f"installing the packages of {lock.name} into .venv")
    pip = [str(VENV_PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--require-hashes", "-r", str(lock)], cwd=ROOT).returncode:
        sys.exit(
            f"environment: pip could not install {lock.name}; its message is above. The first run needs the network; "
            "a proxy, a mirror or a certificate of your own is taken from pip's configuration (pip config list)."
        )
    add_project()
    for met in ("run", "develop") if purpose == "develop" else (purpose,):
        stamp(met).write_text(fingerprint(met))


def is_current(purpose: str) -> bool:
    """Whether the environment was made from the lock files as they are now."""
    return VENV_PYTHON.exists() and stamp(purpose).exists() and stamp(purpose).read_text() == fingerprint(purpose)


def stamp(purpose: str) -> Path:
    """Return the file that says what the environment was made from."""
    return VENV / f".made-for-{purpose}"


def fingerprint(purpose: str) -> str:
    """Return what an environment depends on: this script, the place, the interpreter and the lock file."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + LOCKS[purpose].read_bytes())
    return f"{digest.hexdigest()} {ROOT} {'.'.join(map(str, sys.version_info[:2]))}\n"


def made_by_this_python() -> bool:
    """Whether the environment works and has this interpreter's version; if not it is made anew."""
    ask = [str(VENV_PYTHON), "-c", "import pip, sys; print(*sys.version_info[:2])"]
    answer = subprocess.run(ask, capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout.split() == [str(part) for part in sys.version_info[:2]]


def make_venv() -> None:
    """Make an empty environment; Debian keeps the part of Python that does it in a package of its own."""
    if importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        if not (can_apt_install() and apt_install([package])):
            sys.exit(
                f"environment: this Python cannot make virtual environments. On Debian or Ubuntu, as root: "
                f"apt-get install {package}. Elsewhere: install Python's venv and ensurepip modules."
            )
    say(f"making .venv with Python {sys.version.split()[0]}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def add_project() -> None:
    """Make `import freehold` and `.venv/bin/freehold` work from the source tree, without a build."""
    site_packages = sysconfig.get_path("purelib", "venv", {"base": str(VENV), "platbase": str(VENV)})
    (Path(site_packages) / "freehold-source.pth").write_text(f"{ROOT / 'src'}\n")
    command = VENV / "bin" / "freehold"
    command.write_text(COMMAND.format(python=VENV_PYTHON))
    command.chmod(0o755)


def say(text: str) -> None:
    """Print a line about what takes time."""
    print(f"environment: {text}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit(f"usage: python3 -m scripts.environment {'|'.join(LOCKS)}")
    main(sys.argv[1])
