"""Homes of GnuPG for tests, whose agents end with the session."""

import subprocess
from pathlib import Path

_homes: set[Path] = set()


def run_gpg(home: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """What gpg prints, asked nothing, with keys that have no passphrase."""
    _homes.add(home)
    command = ["gpg", "--homedir", str(home), "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, input=stdin).stdout


def end_agents() -> None:
    """Gpg leaves an agent running for each home."""
    for home in _homes:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


def make_passphrases_cheap(home: Path) -> None:
    """Have the agent of this home turn a passphrase into a key at once; otherwise it takes two seconds each time."""
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
