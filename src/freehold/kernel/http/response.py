"""What a handler answers: status, headers, and a body that is bytes or a stream.

A response says only what is particular to it; the edge adds the headers every answer carries.
No header can be smuggled in: names and values are checked when they are turned into bytes.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from freehold.kernel.http.cookies import SameSite, format_cookie

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

NO_STORE = "no-store"
SAME_ORIGIN = "same-origin"
DEFAULT_CSP = "default-src 'self'; base-uri 'none'; object-src 'none'"

MOST_NAMES = 200
_names: dict[str, bytes] = {}

RawHeaders = list[tuple[bytes, bytes]]

_encode_json = msgspec.json.Encoder().encode
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Response:
    """An HTTP answer. `csp` and `framing` matter for HTML only; a stream takes the place of the body."""

    cache_control: str = NO_STORE
    referrer_policy: str = SAME_ORIGIN
    csp: str = DEFAULT_CSP
    framing: Literal["none", "any"] = "none"
    stream_body: AsyncIterator[bytes] | None = None

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (),
        *,
        content_type: str | None = None,
        cache_control: str = NO_STORE,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [*headers] if headers else []
        self.content_type = content_type
        if cache_control is not NO_STORE:
            self.cache_control = cache_control

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age_s: int | None = None,
        path: str = "/",
        domain: str | None = None,
        secure: bool = True,
        http_only: bool = True,
        same_site: SameSite | None = "Lax",
    ) -> None:
        """Add a Set-Cookie header: Secure, HttpOnly, SameSite=Lax and for the whole host unless said otherwise."""
        text = format_cookie(
            name,
            value,
            max_age_s=max_age_s,
            path=path,
            domain=domain,
            secure=secure,
            http_only=http_only,
            same_site=same_site,
        )
        self.headers.append(("set-cookie", text))


def json(value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A JSON answer; bytes are taken as JSON already encoded."""
    body = value if isinstance(value, bytes) else _encode_json(value)
    return Response(status, body, headers, content_type=JSON)


def html(
    text: str,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    *,
    csp: str = DEFAULT_CSP,
    framing: Literal["none", "any"] = "none",
) -> Response:
    """An HTML page. `csp` is a policy without frame-ancestors; that part comes from `framing`."""
    response = Response(status, text.encode(), headers, content_type=HTML)
    response.csp = csp
    response.framing = framing
    return response


def text(value: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A plain text answer."""
    return Response(status, value.encode(), headers, content_type=TEXT)


def empty(status: int = 204, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """An answer without a body."""
    return Response(status, b"", headers)


def redirect(url: str, status: int = 302, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """Send the browser to the URL. The caller has checked the target; CR, LF and non-ASCII are percent-encoded here."""
    location = quote(url, safe="!#$%&'()*+,/:;=?@[]~")
    return Response(status, b"", [("location", location), *headers])


def stream(
    chunks: AsyncIterator[bytes],
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    *,
    content_type: str = "application/octet-stream",
) -> Response:
    """An answer produced while it is sent; the iterator is closed early when the client goes away."""
    response = Response(status, b"", headers, content_type=content_type)
    response.stream_body = chunks
    return response


def encode_header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header as bytes. Raises ValueError when it could start another header (RFC 9110 section 5.5)."""
    encoded = _names.get(name)
    if encoded is None:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"header {name[:40]!r} has characters that cannot be sent")
        encoded = name.lower().encode("ascii")
        if len(_names) < MOST_NAMES:
            _names[name] = encoded
    if not (value.isascii() and value.isprintable()) and not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"header {name[:40]!r} has characters that cannot be sent")
    return encoded, value.encode("latin-1")
