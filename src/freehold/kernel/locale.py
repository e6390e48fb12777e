"""Which language to answer in, and in which direction it is written.

The order is the one of OpenID Connect and the web: `ui_locales` (OpenID Connect Core section 3.1.2.1), then
`Accept-Language` (RFC 9110 section 12.5.4), then the first language the tenant enabled. Tags are compared as in the
lookup of RFC 4647 section 3.4, with one step more: somebody who asks for `pt` gets `pt-BR` rather than English.
"""

from collections.abc import Collection, Sequence

FALLBACK = "en"
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})
_LONGEST_HEADER = 1_000
_MOST_LANGUAGES = 20


def choose_language(
    *, ui_locales: str | None, accept_language: str | None, enabled: Sequence[str], supported: Collection[str]
) -> str:
    """Return the enabled language that suits the visitor best, spelled as the tenant spells it.

    `supported` are the languages there are texts for; an enabled `de-AT` counts when `de` is among them.
    """
    candidates = [tag for tag in enabled if tag in supported or primary_subtag(tag) in supported]
    if not candidates:
        return FALLBACK
    for wanted in [*_tags(ui_locales), *accepted_languages(accept_language)]:
        found = _lookup(wanted, candidates)
        if found is not None:
            return found
    return candidates[0]


def accepted_languages(header: str | None) -> list[str]:
    """Return the language tags of an Accept-Language header, the most wanted first.

    Anything that is not understood is left out: a strange header is no reason to refuse a sign-in.
    """
    weighted: list[tuple[float, str]] = []
    for part in (header or "")[:_LONGEST_HEADER].split(",")[:_MOST_LANGUAGES]:
        tag, _, parameters = part.partition(";")
        name, _, value = parameters.strip().partition("=")
        try:
            quality = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            continue
        if 0 < quality <= 1 and tag.strip() not in ("", "*"):
            weighted.append((quality, tag.strip()))
    return [tag for _, tag in sorted(weighted, key=lambda item: -item[0])]


def primary_subtag(tag: str) -> str:
    """Return the language itself, without script and region: `pt` for `pt-BR`."""
    return tag.partition("-")[0].lower()


def direction(tag: str) -> str:
    """Return `rtl` or `ltr`, the value of HTML's `dir` attribute."""
    return "rtl" if primary_subtag(tag) in _RIGHT_TO_LEFT else "ltr"


def _tags(ui_locales: str | None) -> list[str]:
    return (ui_locales or "")[:_LONGEST_HEADER].split()[:_MOST_LANGUAGES]


def _lookup(wanted: str, candidates: Sequence[str]) -> str | None:
    subtags = wanted.lower().replace("_", "-").split("-")
    while subtags:
        for candidate in candidates:
            if candidate.lower() == "-".join(subtags):
                return candidate
        subtags.pop()
    for candidate in candidates:
        if primary_subtag(candidate) == primary_subtag(wanted.replace("_", "-")):
            return candidate
    return None
