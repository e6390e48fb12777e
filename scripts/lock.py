"""Write requirements.txt and requirements-dev.txt from the .in files: exact versions, with the digests of every file.

The versions in the present lock files stay where they still fit; `--upgrade` takes the newest, `--upgrade-package NAME`
one. The result is good for every platform and Python from 3.11 on, and names no package index.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Written by `make lock` from {source}. Install with: pip install --require-hashes -r {target}
# Answers {question}
"""
COMPILE = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
QUIET_OUTPUT = ["--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--no-header"]


def lock(options: list[str]) -> None:
    """Compile both lock files, the second so that it agrees with the first."""
    compile_one("requirements.in", "requirements.txt", options)
    compile_one("requirements-dev.in", "requirements-dev.txt", [*options, "--constraint", "requirements.txt"])


def compile_one(source: str, target: str, options: list[str]) -> None:
    """Write one lock file."""
    uv = [sys.executable, "-m", "uv"]
    command = [*uv, *COMPILE, *QUIET_OUTPUT, *options, source, "--output-file", target]
    if subprocess.run(command, cwd=ROOT, env=os.environ | settings_of_pip()).returncode:
        sys.exit(f"lock: {source} could not be compiled")
    path = ROOT / target
    path.write_text(HEADER.format(source=source, target=target, question=question(source)) + path.read_text())


def question(source: str) -> str:
    """Return a digest of what an .in file asks for, by which a test sees a lock file that was not written anew."""
    lines = {line.strip() for line in (ROOT / source).read_text().splitlines()}
    for line in sorted(lines):
        if line.startswith("-r "):
            lines.add(question(line.removeprefix("-r ")))
    asked = sorted(line for line in lines if line and not line.startswith(("#", "-r ")))
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def settings_of_pip() -> dict[str, str]:
    """Return pip's index and certificate in the words of uv, which does not read pip's configuration.

    Additional indexes are left out: one that holds a few files of a release would keep the others' digests away.
    """
    words = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = {}
    for line in listed.stdout.splitlines():
        if match := re.fullmatch(r"(?:global|install|:env:)\.([a-z-]+)='(.*)'", line):
            name, value = match.groups()
            if name in words:
                found[words[name]] = value
    return found


if __name__ == "__main__":
    lock(sys.argv[1:])
