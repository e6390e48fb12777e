"""Percent-encoding, read once and strictly: path segments, query strings and urlencoded forms.

A path segment is decoded exactly once after the raw path was split, so that `auth0%7Cabc` and
`https%3A%2F%2Fapi.example.com%2F` stay one segment each and nothing decoded can become a separator.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from freehold.kernel.errors import BadRequest
from freehold.kernel.http.refusals import DuplicateParameter

MAX_FIELDS = 1000

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def decode_segment(raw: str) -> str:
    """One path segment, percent-decoded once.

    Raises BadRequest on a bad escape, bad UTF-8, a control character or a dot segment.
    """
    if raw.isascii() and raw.isalnum():
        return raw
    if "%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise BadRequest("The path contains an invalid percent-encoding", code="invalid_uri")
        try:
            raw = unquote_to_bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest("The path is not valid UTF-8", code="invalid_uri") from None
    if _CONTROL.search(raw):
        raise BadRequest("The path contains a control character", code="invalid_uri")
    if raw in {".", ".."}:
        raise BadRequest("The path contains a dot segment", code="invalid_uri")
    return raw


class Parameters:
    """Names and values of a query string or form, in the order sent.

    A name that arrives twice has no single value: `one`, `get` and `single` refuse it, `all` returns every value.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def one(self, name: str) -> str | None:
        """The value, or None when it was not sent. Raises DuplicateParameter (a BadRequest) when it was sent twice."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise DuplicateParameter(name)
        return values[0]

    def get(self, name: str, default: str = "") -> str:
        """Like `one`, with a default for what was not sent."""
        value = self.one(name)
        return default if value is None else value

    def all(self, name: str) -> list[str]:
        """Every value of the name, in order."""
        return list(self._values.get(name, ()))

    def single(self) -> dict[str, str]:
        """All parameters as a dictionary. Raises DuplicateParameter when any name was sent twice."""
        for name, values in self._values.items():
            if len(values) > 1:
                raise DuplicateParameter(name)
        return {name: values[0] for name, values in self._values.items()}

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every name and value; a repeated name comes several times."""
        for name, values in self._values.items():
            for value in values:
                yield name, value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Parameters({', '.join(self._values)})"  # names only: values may be secrets


Query = Parameters


def parse_urlencoded(raw: bytes, *, what: str = "query string") -> Parameters:
    """The fields of an application/x-www-form-urlencoded text.

    Raises BadRequest on bad UTF-8, a NUL, or more than MAX_FIELDS fields. An escape that is none stays as it is,
    as browsers and the WHATWG URL standard do.
    """
    if not raw:
        return Parameters()
    if raw.count(b"&") >= MAX_FIELDS:
        raise BadRequest(f"Too many parameters in the {what}")
    pairs = []
    try:
        for field in raw.replace(b"+", b" ").split(b"&"):
            if field:
                name, _, value = field.partition(b"=")
                if b"%" in name:
                    name = unquote_to_bytes(name)
                if b"%" in value:
                    value = unquote_to_bytes(value)
                pairs.append((name.decode("utf-8"), value.decode("utf-8")))
    except UnicodeDecodeError:
        raise BadRequest(f"The {what} is not valid UTF-8") from None
    if (b"\0" in raw or b"%00" in raw) and any("\0" in name or "\0" in value for name, value in pairs):
        raise BadRequest(f"The {what} contains a NUL character")
    return Parameters(pairs)
