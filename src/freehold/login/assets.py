"""The stylesheet, the script and the icon of the pages, at addresses that contain a digest of their content.

An address therefore never changes its meaning: browsers keep what they have for a year and ask again for nothing.
"""

from hashlib import sha256
from importlib.resources import files

import msgspec

PREFIX = "/u/assets/"
_CONTENT_TYPES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """A file as it is served."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


def _load(name: str) -> Asset:
    body = (files("freehold.login") / "static" / name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    headers = (
        ("content-type", _CONTENT_TYPES[name]),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    )
    return Asset(f"{PREFIX}{stem}.{sha256(body).hexdigest()[:12]}.{suffix}", body, headers)


STYLESHEET, SCRIPT, ICON = _load("page.css"), _load("page.js"), _load("icon.svg")
_BY_NAME = {asset.path.removeprefix(PREFIX): asset for asset in (STYLESHEET, SCRIPT, ICON)}


def find_asset(name: str) -> Asset | None:
    """Return the asset whose address is PREFIX + `name`; an outdated digest names nothing."""
    return _BY_NAME.get(name)
