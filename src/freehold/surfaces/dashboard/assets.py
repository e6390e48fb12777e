"""The dashboard's stylesheet and script, at addresses that contain a digest of their content."""

from hashlib import sha256
from importlib.resources import files

import msgspec

from freehold.kernel.errors import NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response

PREFIX = "/admin/assets/"
_CONTENT_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


class Asset(msgspec.Struct, frozen=True):
    """A file as it is served."""

    path: str
    body: bytes
    content_type: str


def _load(name: str) -> Asset:
    body = (files("freehold.surfaces.dashboard") / "static" / name).read_bytes()
    stem, _, suffix = name.rpartition(".")
    return Asset(f"{PREFIX}{stem}.{sha256(body).hexdigest()[:12]}.{suffix}", body, _CONTENT_TYPES[suffix])


STYLESHEET, SCRIPT = _load("dashboard.css"), _load("dashboard.js")
_BY_PATH = {asset.path: asset for asset in (STYLESHEET, SCRIPT)}


async def serve_asset(request: Request) -> Response:
    """GET /admin/assets/{name}. Raises NotFound for an address of another release."""
    found = _BY_PATH.get(PREFIX + request.params["name"])
    if found is None:
        raise NotFound("Not Found")
    return Response(
        200,
        found.body,
        [("cross-origin-resource-policy", "same-origin")],
        content_type=found.content_type,
        cache_control="public, max-age=31536000, immutable",
    )
