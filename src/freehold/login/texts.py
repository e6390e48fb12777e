"""What the pages say, in every language they speak.

Texts are addressed as in Auth0's custom-text API: prompt, screen, key. `locales/<language>.json` holds our wording in
that same shape, plus `shared`, the keys that mean the same on many screens. Screens that Auth0 does not have are under
the prompt `freehold`. A tenant's own texts, given as the stored bodies by prompt, win over ours key by key.

A text is plain text: it is escaped where it is put into a page. `${clientName}` and the like are filled in here, once,
so that a value containing `${...}` stays what it is.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

import msgspec

from freehold.kernel.locale import FALLBACK, primary_subtag

LANGUAGES = ("en", "de")
"""The languages with texts of our own; others can come from a tenant's custom texts."""

CustomTexts = Mapping[str, Mapping[str, Mapping[str, str]]]
"""A tenant's texts in one language: prompt -> screen -> key -> text."""

NO_CUSTOM_TEXTS: CustomTexts = {}

_VARIABLE = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_.]*)\}")


class ScreenTexts:
    """The texts of one screen, for one visitor."""

    __slots__ = ("_custom", "_ours", "_variables")

    def __init__(self, ours: Mapping[str, str], custom: Mapping[str, str], variables: Mapping[str, str]) -> None:
        self._ours = ours
        self._custom = custom
        self._variables = variables

    def __getitem__(self, key: str) -> str:
        return self(key)

    def __call__(self, key: str, **more: str) -> str:
        """Return a text with its variables filled in; `more` adds variables for this text only.

        A variable without a value stays visible as written: somebody mistyped it and should see that.
        """
        found = self._custom.get(key)
        if found is None:
            found = self._ours[key]
        if "${" not in found:
            return found
        return _VARIABLE.sub(lambda match: more.get(match[1], self._variables.get(match[1], match[0])), found)

    def problem(self, code: str, **variables: str) -> str:
        """Return the text for an error code, or a general one for a code without a text of its own."""
        known = code in self._custom or code in self._ours
        return self(code if known else "unknown-problem", **variables)

    def optional(self, key: str) -> str:
        """Return a text, or the empty string where there is none."""
        return self(key) if key in self._custom or key in self._ours else ""


def screen_texts(
    prompt: str,
    screen: str,
    *,
    language: str,
    custom: CustomTexts = NO_CUSTOM_TEXTS,
    variables: Mapping[str, str] | None = None,
) -> ScreenTexts:
    """Return the texts of a screen in the nearest language there is: `de` for `de-AT`, English when there is none."""
    return ScreenTexts(_catalogue(language)[prompt, screen], custom.get(prompt, {}).get(screen, {}), variables or {})


def screens() -> list[tuple[str, str]]:
    """Return every (prompt, screen) there are texts for."""
    return list(_catalogue(FALLBACK))


@lru_cache(maxsize=128)
def _catalogue(language: str) -> Mapping[tuple[str, str], Mapping[str, str]]:
    """Read a language file and lay it out flat: each screen with the shared texts underneath."""
    name = language if language in LANGUAGES else primary_subtag(language)
    if name not in LANGUAGES:
        name = FALLBACK
    if name != language:
        return _catalogue(name)
    source = (files("freehold.login") / "locales" / f"{name}.json").read_bytes()
    prompts = msgspec.json.decode(source, type=dict[str, dict[str, dict[str, str]]])
    shared = prompts.pop("shared")["any"]
    return {(prompt, screen): {**shared, **texts} for prompt, at in prompts.items() for screen, texts in at.items()}
