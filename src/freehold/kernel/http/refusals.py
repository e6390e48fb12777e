"""Refusals that only HTTP knows; the rest are in `kernel.errors`."""

from collections.abc import Sequence

from freehold.kernel.errors import BadRequest, FreeholdError, PayloadTooLarge


class MethodNotAllowed(FreeholdError):
    """405: the path exists, for the methods in `allow` (RFC 9110 section 15.5.6)."""

    status, code = 405, "method_not_allowed"

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__("Method Not Allowed")
        self.allow = tuple(allow)


class UriTooLong(FreeholdError):
    """414: the request target is longer than this server reads."""

    status, code = 414, "uri_too_long"


class UnsupportedMediaType(FreeholdError):
    """415: the body is in a format the operation does not read."""

    status, code = 415, "unsupported_media_type"


class HeadersTooLarge(FreeholdError):
    """431: more header fields, or larger ones, than this server reads (RFC 6585 section 5)."""

    status, code = 431, "request_header_fields_too_large"


class DuplicateParameter(BadRequest):
    """400: a parameter that has one meaning was sent twice (RFC 6749 section 3.1)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Parameter sent more than once: {name[:40]}")
        self.name = name


class ClientDisconnected(Exception):
    """The peer went away while its request was being read."""


def body_too_large(limit: int) -> PayloadTooLarge:
    """The refusal of a body over the limit, in Auth0's words."""
    return PayloadTooLarge(f"Payload content length greater than maximum allowed: {limit}.")
