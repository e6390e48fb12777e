"""What is asked for: one value with one spelling, whose digest D everything that is signed later holds.

A request that is changed is another request: it has another revision and so another digest.
"""

import hashlib
from typing import Any, Literal

import msgspec
import rfc8785

from freehold.kernel.errors import BadRequest

Kind = Literal["password_hashes", "mfa_secrets", "private_keys", "write_only_secrets"]
KINDS: tuple[Kind, ...] = ("password_hashes", "mfa_secrets", "private_keys", "write_only_secrets")
DOMAIN = b"freehold.ceremony.v1\0"
GROUPS, GROUP = 6, 4


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An administrator, as the request names them."""

    id: str
    name: str
    email: str


class NamedExecutive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The enrolled executive who is to sign."""

    id: str
    name: str
    title: str
    email: str


class NamedRecipient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that the export is encrypted to; `sha256` is of the text in which it was sent."""

    email: str
    fingerprint: str
    sha256: str
    subkeys: tuple[str, ...]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request, complete: whoever signs its digest signs all of this."""

    v: Literal[1] = 1
    type: Literal["freehold.export"] = "freehold.export"
    tenant_id: str
    tenant: str
    domain: str
    ceremony_id: str
    revision: int
    kinds: tuple[Kind, ...]
    connections: tuple[str, ...]
    """Names; none means all."""
    purpose: str
    needed_by: str | None
    """A date, `2026-12-31`."""
    recipients: tuple[NamedRecipient, ...]
    requester: Person
    executive: NamedExecutive
    language: str
    retention_days: int
    download_limit: int
    nonce: str
    policy: dict[str, Any]
    """The policy in force, with the list of what is relaxed in it."""
    created_at: str


def canonical(request: Request) -> bytes:
    """The request in its one spelling (RFC 8785)."""
    return rfc8785.dumps(msgspec.to_builtins(request))


def digest(request: Request) -> bytes:
    """D: what every later signature is bound to."""
    return hashlib.sha256(DOMAIN + canonical(request)).digest()


def groups(value: bytes) -> str:
    """The beginning of a digest as people compare and type it: `3f2a 81c0 ...`."""
    text = value.hex()
    return " ".join(text[start : start + GROUP] for start in range(0, GROUPS * GROUP, GROUP))


def parsed(text: bytes | str) -> Request:
    """A request from its one spelling. Raises BadRequest for anything else, another spelling included."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        request = msgspec.json.decode(raw, type=Request)
    except msgspec.MsgspecError:
        raise BadRequest("This is no request for an export.") from None
    if canonical(request) != raw:
        raise BadRequest("The request is not in its canonical spelling.")
    return request


def authorization_text(request: Request) -> str:
    """The sentence that the requester types; it holds the digest."""
    value = digest(request)
    return (
        f"I authorize the export of {', '.join(request.kinds)} of the tenant {request.tenant}, request {groups(value)} "
        f"({value.hex()})."
    )
