"""Cookies (RFC 6265bis): reading the Cookie header and writing Set-Cookie with safe attributes."""

import re
from typing import Literal

SameSite = Literal["Strict", "Lax", "None"]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN = re.compile(r"[a-z0-9.-]+")


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a Cookie header; of two with one name the first counts, which is the one with the longer path."""
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, separator, value = pair.partition("=")
        if separator:
            cookies.setdefault(name.strip(), value.strip().strip('"'))
    return cookies


def format_cookie(
    name: str,
    value: str,
    *,
    max_age_s: int | None = None,
    path: str = "/",
    domain: str | None = None,
    secure: bool = True,
    http_only: bool = True,
    same_site: SameSite | None = "Lax",
) -> str:
    """The value of a Set-Cookie header. Raises ValueError for what a browser would refuse or read differently."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a cookie name: {name[:40]!r}")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of cookie {name} needs encoding")
    if not _PATH.fullmatch(path) or (domain is not None and not _DOMAIN.fullmatch(domain)):
        raise ValueError(f"cookie {name} has an invalid path or domain")
    if name.startswith("__Host-") and (not secure or path != "/" or domain is not None):
        raise ValueError(f"cookie {name} must be secure, for path / and without a domain")
    if (name.startswith("__Secure-") or same_site == "None") and not secure:
        raise ValueError(f"cookie {name} must be secure")
    text = f"{name}={value}; Path={path}"
    if domain is not None:
        text += f"; Domain={domain}"
    if max_age_s is not None:
        text += f"; Max-Age={max_age_s}"
    if secure:
        text += "; Secure"
    if http_only:
        text += "; HttpOnly"
    if same_site is not None:
        text += f"; SameSite={same_site}"
    return text
