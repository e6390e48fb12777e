"""Formats of strings that a regular expression cannot hold, by the names that Auth0's schema gives them.

What is stored here is later redirected to, posted to, or rendered as a link, so the rules are about that use: a URL is
absolute, has no character that two parsers read differently, and no scheme that runs as script. In a host, `*` stands
for one whole left-most label below at least two others, and nothing else is a wildcard.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

from freehold.kernel.declare.validation import InvalidBody

MAX_URL = 2048
# Those that a browser runs or opens locally, and the host of a URL whose scheme was forgotten.
REFUSED_SCHEMES = frozenset(
    {"javascript", "data", "vbscript", "blob", "file", "filesystem", "about", "view-source", "localhost"}
)

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\<>\"`^|]|\s")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_IPV6 = re.compile(r"[0-9a-f:.]+", re.ASCII | re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s<>]{1,64}@[^@\s<>]{1,255}")
# Names under which a registry sells domains in a country's zone; `*.co.uk` would be everybody's.
_SHARED_SECOND_LEVEL = frozenset(
    {"ac", "co", "com", "edu", "gob", "gov", "ltd", "ne", "net", "nom", "or", "org", "plc"}
)
ORGANIZATION_NAME = "{organization_name}"


def check_format(name: str, value: str, path: str) -> None:
    """Refuse a string that is not of the format. Raises InvalidBody in Auth0's words."""
    if not FORMATS[name](value):
        raise InvalidBody(
            f"Payload validation error: 'Object didn't pass validation for format {name}: {value[:80]}' "
            f"on property {path}."
        )


def is_callback_url(text: str) -> bool:
    """An absolute URI without a fragment: http(s) with a host, or an application's own scheme.

    `{organization_name}` may stand for a label or a segment.
    """
    return "#" not in text and _split(text, wildcard=True) is not None


def is_absolute_uri_or_empty(text: str) -> bool:
    """Empty, or an absolute http(s) URI without wildcards."""
    parts = _split(text, wildcard=False)
    return text == "" or (parts is not None and parts.scheme.lower() in {"http", "https"})


def is_absolute_https_uri_or_empty(text: str) -> bool:
    """Empty, or an absolute https URI without wildcards or fragment."""
    parts = _split(text, wildcard=False)
    return text == "" or (parts is not None and parts.scheme.lower() == "https" and "#" not in text)


def is_url(text: str) -> bool:
    """An absolute http(s) URI without wildcards."""
    return text != "" and is_absolute_uri_or_empty(text)


def is_host_name(text: str) -> bool:
    """A host's name without scheme, port or path."""
    return 0 < len(text) <= 253 and ":" not in text and "[" not in text and _is_host(text, wildcard=False)


def is_email_or_empty(text: str) -> bool:
    """Empty, or something of the form of an e-mail address."""
    return text == "" or _EMAIL.fullmatch(text) is not None


FORMATS: Mapping[str, Callable[[str], bool]] = {
    "callback-url": is_callback_url,
    "url-with-placeholders": is_callback_url,
    "url": is_url,
    "absolute-uri-or-empty": is_absolute_uri_or_empty,
    "absolute-https-uri-or-empty": is_absolute_https_uri_or_empty,
    "absolute-https-uri-with-placeholders-or-empty": is_absolute_https_uri_or_empty,
    "email-or-empty": is_email_or_empty,
}


def _split(text: str, *, wildcard: bool) -> SplitResult | None:
    """The parts of an acceptable absolute URI, None for anything else."""
    if not 0 < len(text) <= MAX_URL or _FORBIDDEN.search(text):
        return None
    scheme, colon, rest = text.partition(":")
    if not colon or not rest or not _SCHEME.fullmatch(scheme) or scheme.lower() in REFUSED_SCHEMES:
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a port that is no port
    except ValueError:
        return None
    if scheme.lower() not in {"http", "https"}:
        return parts
    if not rest.startswith("//") or parts.username is not None or parts.password is not None:
        return None
    return parts if _is_host(parts.netloc, wildcard=wildcard) else None


def _is_host(netloc: str, *, wildcard: bool) -> bool:
    if netloc.startswith("["):
        address, _, port = netloc[1:].partition("]")
        return bool(_IPV6.fullmatch(address)) and (not port or port.startswith(":"))
    labels = netloc.partition(":")[0].rstrip(".").replace(ORGANIZATION_NAME, "organization").split(".")
    if labels[0] == "*":
        if not wildcard or not _below_registrable(labels[1:]):
            return False
        labels = labels[1:]
    try:
        ascii_labels = [label if label.isascii() else label.encode("idna").decode() for label in labels]
    except UnicodeError:
        return False
    return all(_LABEL.fullmatch(label) for label in ascii_labels)


def _below_registrable(labels: list[str]) -> bool:
    """Whether these labels name a domain that one party can own; there is no public suffix list to be sure with."""
    if len(labels) < 2:
        return False
    return len(labels) > 2 or not (len(labels[-1]) == 2 and labels[-2].lower() in _SHARED_SECOND_LEVEL)
