"""Does a redirect URI belong to a client? (RFC 6749 section 3.1.2, RFC 8252 section 7.3, RFC 9700 section 4.1)

Byte for byte, before anything is normalised. Two exceptions: a registered `https://*.example.com/cb` stands for one
label in the place of the star, and a native client's loopback address may have any port.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def is_registered(requested: str, registered: Sequence[str], *, native: bool) -> bool:
    """Whether the URI is one of the registered ones."""
    return any(
        requested == pattern
        or ("*" in pattern and _matches_wildcard(requested, pattern))
        or (native and _matches_loopback(requested, pattern))
        for pattern in registered
    )


def is_localhost(uri: str) -> bool:
    """Whether the URI leads to the user's own machine; any program there may be listening."""
    host = urlsplit(uri).hostname or ""
    return host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")


def _matches_wildcard(requested: str, pattern: str) -> bool:
    """`https://*.example.com/cb` matches exactly one label there; a star anywhere else matches nothing."""
    head, star, tail = pattern.partition("://*.")
    if not star or "*" in tail or "." not in tail.split("/")[0]:
        return False
    prefix = f"{head}://"
    if not requested.startswith(prefix) or not requested.endswith(f".{tail}"):
        return False
    label = requested[len(prefix) : len(requested) - len(tail) - 1]
    return _LABEL.fullmatch(label) is not None


def _matches_loopback(requested: str, pattern: str) -> bool:
    """The same URI but for the port, on a literal loopback address."""
    left, right = _split_port(requested), _split_port(pattern)
    return left is not None and left == right


def _split_port(uri: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"http://(127\.0\.0\.1|\[::1\])(?::\d{1,5})?(/[^#]*)?", uri)
    return (match[1], match[2] or "") if match else None
