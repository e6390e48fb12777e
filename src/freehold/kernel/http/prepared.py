"""Answers that are the same for everybody until something changes: discovery, JWKS, stylesheets."""

from base64 import urlsafe_b64encode
from hashlib import sha256

from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response


class Prepared:
    """Bytes with their ETag, made once and answered many times; who has them gets 304 (RFC 9110 section 13.1.2)."""

    __slots__ = ("_cache_control", "_headers", "body", "content_type", "etag")

    def __init__(self, body: bytes, *, content_type: str, cache_control: str) -> None:
        self.body = body
        self.content_type = content_type
        self.etag = f'"{urlsafe_b64encode(sha256(body).digest()[:18]).decode()}"'
        self._cache_control = cache_control
        self._headers = [("etag", self.etag)]

    def answer(self, request: Request) -> Response:
        """200 with the bytes, or 304."""
        known = request.headers.get("if-none-match")
        if known is not None and self._matches(known):
            return Response(304, b"", self._headers, cache_control=self._cache_control)
        return Response(
            200, self.body, self._headers, content_type=self.content_type, cache_control=self._cache_control
        )

    def _matches(self, known: str) -> bool:
        return known.strip() == "*" or any(tag.strip().removeprefix("W/") == self.etag for tag in known.split(","))
