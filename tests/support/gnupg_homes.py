"""Homes of GnuPG for tests."""

from pathlib import Path


def make_passphrases_cheap(home: Path) -> None:
    """Have the agent of this home turn a passphrase into a key at once; otherwise it takes two seconds each time."""
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
