"""The dashboard says everything in every language it speaks."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from freehold.login.texts import LANGUAGES
from freehold.surfaces.dashboard.layout import HERE, SECTIONS, Screens

FOLDER = Path(str(files(HERE)))
USED = re.compile(r"""\bt(?:\(|\[)"([^"]+)"(?!\s*~)""")
VARIABLE = re.compile(r"\$\{(\w+)\}")


def catalogue(language: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads((FOLDER / "locales" / f"{language}.json").read_text())
    return texts


def used_keys() -> set[str]:
    found = {key for path in (FOLDER / "templates").glob("*.html") for key in USED.findall(path.read_text())}
    for path in FOLDER.glob("*.py"):
        found |= set(re.findall(r"""(?:problem|done)=?\s?=?\s?"([a-z_]+\.[a-z_]+)\"""", path.read_text()))
    return found | {f"nav.{name}" for name in SECTIONS}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_that_is_used_is_there(language: str) -> None:
    texts = Screens(HERE).texts(language)
    assert [key for key in sorted(used_keys()) if not texts.optional(key)] == []


def test_the_languages_say_the_same_things() -> None:
    english, *others = (catalogue(language) for language in LANGUAGES)
    for other in others:
        assert other.keys() == english.keys()
        for key, text in english.items():
            assert set(VARIABLE.findall(other[key])) == set(VARIABLE.findall(text)), key


def test_a_visitor_reads_their_language() -> None:
    assert Screens(HERE).texts("de-AT")["sign_in.button"] == "Anmelden"
    assert Screens(HERE).texts("fr")["sign_in.button"] == "Sign in"
