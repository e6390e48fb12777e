"""Web origins: which pages belong to a client.

An origin is compared as browsers write it. A registered wildcard stands for one whole left-most label:
`https://*.example.com`.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from freehold.login import web_origin


def origins_of(*lists: Iterable[str] | UnsetType) -> frozenset[str]:
    """The origins of registered URLs, those with a wildcard among them."""
    found = set()
    for urls in lists:
        for url in () if urls is UNSET else urls:
            scheme, star, rest = url.partition("://*.")
            origin = web_origin(f"{scheme}://{rest}" if star else url)
            if origin is not None and star and "." in (urlsplit(origin).hostname or ""):
                found.add(origin.replace("://", "://*.", 1))
            elif origin is not None and not star:
                found.add(origin)
    return frozenset(found)


def is_among(origin: str, origins: Iterable[str]) -> bool:
    """Whether an origin is one of those, or has one label where one of them has a star."""
    scheme, separator, host = origin.partition("://")
    label, dot, rest = host.partition(".")
    known = frozenset(origins)
    return origin in known or bool(separator and label and dot and f"{scheme}://*.{rest}" in known)
