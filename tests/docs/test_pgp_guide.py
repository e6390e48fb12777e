"""The guide to keys and sealed exports, followed by a reader: real programs, and a file such as the server makes.

Twice: with a passphrase, and without one, because `sq` asks for it on a terminal.
"""

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from freehold.domain.ceremonies.evidence.possession import is_word, seal_word, word_digest
from freehold.domain.ceremonies.evidence.recipient_key import RecipientKey, check_recipient_key
from freehold.kernel.crypto.openpgp import encrypt_file, new_signing_key
from freehold.surfaces.ceremony.build.pipes import Buffer
from freehold.surfaces.ceremony.build.tar import ExportTar
from tests.architecture.project import ROOT
from tests.docs.shell_examples import Block, read_blocks, reader_environment, run_blocks
from tests.support.gnupg_homes import make_passphrases_cheap
from tests.support.programs import find_jq, find_sequoia

GUIDE = (ROOT / "docs" / "guides" / "pgp.md").read_text()
REASON = "tests/docs/test_pgp_guide.py runs this page, with a file to open"
HASHES = b'{"_id":{"$oid":"60425dc43519d90068f82973"},"email":"ada@example.com"}\n'
PASSPHRASE = "correct horse battery staple"


@dataclass
class Reader:
    """Somebody who follows the guide in a folder."""

    folder: Path
    env: Mapping[str, str]
    passphrase: str

    def follow(self, *sections: str) -> str:
        """Type what the sections say; what was printed."""
        blocks = [Block(block.line, block.text) for section in sections for block in blocks_of(section)]
        assert blocks, sections
        kept = self.folder / "FINGERPRINT"
        remembered = [Block(0, f"FINGERPRINT=$(cat {kept} 2>/dev/null || true)\n")]
        remember = [Block(0, f'echo "$FINGERPRINT" > {kept}\n')]
        outcome = run_blocks([*remembered, *blocks, *remember], self.folder, env=self.env)
        assert outcome.status == 0, outcome.output[-4000:]
        return "\n".join(line for line in outcome.output.splitlines() if not line.startswith("--- line"))

    def check_key(self) -> RecipientKey:
        armored = (self.folder / "public-key.asc").read_text()
        checking = check_recipient_key(armored, email="ada@example.com", now=datetime.now(UTC), retention_days=7)
        return asyncio.run(checking)

    def receive(self, key: RecipientKey) -> str:
        """Put a word and an export into the folder, as the server makes them; the word."""
        word, message = asyncio.run(seal_word(key.certificate))
        (self.folder / "word.asc").write_text(message)
        plain = self.folder.parent / "plain.tar"
        parts: list[Buffer] = []
        tar = ExportTar(parts.append)
        tar.add("README.txt", b"This is a sealed export.\n")
        tar.add("password-hashes.ndjson", HASHES, rows=1)
        members = [msgspec.to_builtins(member) for member in tar.members]
        manifest = {"members": members, "ceremony": {"digest": "ab" * 32}}
        tar.add_unlisted("manifest.json", msgspec.json.encode(manifest))
        tar.finish()
        plain.write_bytes(b"".join(parts))
        signer = new_signing_key("Exports of acme (acme.example.com)")
        (self.folder / "export-keys.asc").write_text(signer.certificate)
        encrypt_file(plain, self.folder / "export.pgp", recipients=[key.certificate], signer=signer.secret)
        return word


def blocks_of(section: str) -> list[Block]:
    """What is to be typed under a heading, up to the next one of any level."""
    start = re.search(rf"^##+ {re.escape(section)}$", GUIDE, re.MULTILINE)
    assert start is not None, section
    rest = GUIDE[start.end() :]
    end = re.search(r"^##+ ", rest, re.MULTILINE)
    return [block for block in read_blocks(rest[: end.start()] if end else rest) if block.not_run == REASON]


@pytest.fixture(params=[PASSPHRASE, ""], ids=["passphrase", "no passphrase"])
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "here"
    folder.mkdir()
    with reader_environment(tmp_path / "reader") as env:
        home = Path(env["HOME"]) / ".gnupg"
        home.mkdir(mode=0o700)
        make_passphrases_cheap(home)
        (folder / "passphrase.txt").write_text(request.param)
        # In place of the window in which people type it.
        (home / "gpg.conf").write_text(f"pinentry-mode loopback\npassphrase-file {folder}/passphrase.txt\n")
        yield Reader(folder, {**env, "GNUPGHOME": str(home)}, request.param)
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, capture_output=True)


@pytest.mark.gnupg
@pytest.mark.node
def test_the_guide_leads_from_no_key_to_an_opened_export(reader: Reader) -> None:
    reader.follow("1. Install GnuPG", "By a file", "3. Look at it, and note its fingerprint")
    reader.follow("4. Export the public half")
    key = reader.check_key()
    assert key.bits == 4096
    assert key.readers[1].startswith("gpg (GnuPG)")
    word = reader.receive(key)

    assert is_word(reader.follow("5. Show that you can decrypt").splitlines()[-1], word_digest(word))
    reader.follow("6. Keep the secret half safe", "7. Download, and check that the file is whole")
    reader.follow("When exports are signed")
    assert 'Good signature from "Exports of acme' in reader.follow("8. Decrypt and unpack")
    assert (reader.folder / "opened" / "password-hashes.ndjson").read_bytes() == HASHES
    checked = reader.follow("9. Check the contents against the manifest") if find_jq() else ""
    if checked:
        assert "all files are as they left" in checked
        assert "CHANGED" not in checked
    assert "password-hashes.ndjson" in reader.follow("OpenPGP.js")
    if not reader.passphrase and find_sequoia():
        assert "password-hashes.ndjson" in reader.follow("Sequoia")
    reader.follow("Afterwards")
    assert not (reader.folder / "opened").exists()


@pytest.mark.sequoia
@pytest.mark.gnupg
@pytest.mark.jq
def test_every_program_of_the_guide_is_here() -> None:
    """By its markers this says which are not."""
    assert find_sequoia() is not None


@pytest.mark.gnupg
@pytest.mark.parametrize("reader", [""], indirect=True)
def test_the_answers_of_the_guide_make_a_key_that_is_taken(reader: Reader) -> None:
    rows = re.findall(r"^\| ([^|]+) \| `([^`]+)`", GUIDE.split("### By answering questions")[1].split("### ")[0], re.M)
    answers = {question.strip(): answer for question, answer in rows}
    asked = {
        "selection": answers["kind of key"], "keysize do you want": answers["keysize"],
        "valid for?": answers["valid for"], "correct?": answers["is this correct"], "Real name": "Ada Lovelace",
        "Email address": "ada@example.com", "Comment": "", "(O)kay": answers["okay"],
    }  # fmt: skip
    output = converse(["gpg", "--full-generate-key"], asked, env=dict(reader.env), folder=reader.folder)
    reader.follow("3. Look at it, and note its fingerprint", "4. Export the public half")

    assert reader.check_key().bits == 4096, output


def test_everything_that_can_be_typed_is_followed_or_says_why_not() -> None:
    headings = [line.lstrip("# ") for line in GUIDE.splitlines() if re.match(r"##+ ", line)]
    followed = [block.text for heading in headings for block in blocks_of(heading)]
    typed = [block for block in read_blocks(GUIDE) if "asks whether you are sure" not in block.not_run]

    assert [block.text for block in typed] == followed


def converse(command: list[str], asked: Mapping[str, str], *, env: dict[str, str], folder: Path) -> str:
    """Answer a program's questions on a terminal of its own, each when it is asked."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, env)
    seen, heard, waiting = "", "", list(asked.items())
    while True:
        if not select.select([terminal], [], [], 60)[0]:
            os.kill(process, signal.SIGKILL)
            break
        try:
            heard += os.read(terminal, 4096).decode("utf-8", "replace")
        except OSError:  # Linux tells so that the other side is closed.
            break
        while waiting and waiting[0][0] in heard:
            prompt, answer = waiting.pop(0)
            before, _, heard = heard.partition(prompt)
            seen += before + prompt
            os.write(terminal, answer.encode() + b"\n")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert (status, waiting) == (0, []), seen + heard
    return seen + heard
