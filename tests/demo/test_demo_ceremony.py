"""The demonstration of the export ceremony itself, smaller."""

import re
from pathlib import Path

import pytest
from pysequoia import Cert, CipherSuite, encrypt

from freehold.demo.ceremony import RELAXED, Ceremony
from freehold.demo.gnupg import KEY, GnuPG, KeyHolder, Library, key_holder
from freehold.demo.steps import Step
from freehold.kernel.config import Settings
from tests.architecture.project import ROOT


@pytest.mark.gnupg
def test_everything_comes_out_as_it_should(tmp_path: Path) -> None:
    told: list[Step] = []
    ceremony = Ceremony(tmp_path, 12, told.append)

    ceremony.run()

    titles = [step.title for step in told]
    assert titles[-2:] == ["Compare the signing keys", "Sign in there as the administrator"]
    assert titles[0].startswith("Relax the policy")
    assert "by gpg (GnuPG)" in next(step.detail for step in told if step.title.startswith("Decrypt it"))
    receipt = ceremony.facts["receipt"]
    assert (receipt["complete"], receipt["audit_key_is"], receipt["state"]) == (True, "pinned", "downloaded")
    assert {f"ceremony_{name}" for name in receipt["relaxed"]} == set(RELAXED)


def test_what_is_relaxed_is_strict_otherwise() -> None:
    strict = Settings()
    assert all(getattr(strict, name) not in {value} for name, value in RELAXED.items() if isinstance(value, int))
    assert strict.ceremony_waiting_for


def test_the_key_is_made_as_the_guide_says() -> None:
    guide = (ROOT / "docs" / "guides" / "pgp.md").read_text()
    found = re.search(r"^cat > key\.txt <<'END'\n(.*?)^END$", guide, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert found[1] == KEY.format(name="Ada Lovelace", email="ada@example.com")


def test_without_gnupg_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(CipherSuite, "RSA4k", CipherSuite.Cv25519)
    with key_holder("Ada Lovelace", "ada@example.com") as holder:
        assert isinstance(holder, Library)
        assert "NO gpg ON THIS MACHINE" in holder.program


@pytest.mark.slow  # Three RSA keys of 4096 bits.
@pytest.mark.gnupg
def test_what_either_holder_gets_can_be_read(tmp_path: Path) -> None:
    library = Library("Ada Lovelace", "ada@example.com")
    with key_holder("Ada Lovelace", "ada@example.com") as program:
        assert isinstance(program, GnuPG)
        holders: tuple[KeyHolder, ...] = (program, library)
        for number, holder in enumerate(holders):
            message = encrypt(b"a word\n", recipients=[Cert.from_bytes(holder.public_key.encode())])
            assert holder.read(message.decode()) == "a word"
            source, target = tmp_path / f"{number}.pgp", tmp_path / f"{number}.txt"
            source.write_bytes(message)
            holder.open(source, target)
            assert target.read_bytes() == b"a word\n"
