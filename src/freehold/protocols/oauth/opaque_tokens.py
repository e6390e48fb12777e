"""Access tokens without an API: opaque to everybody, and good for /userinfo only.

What such a token stands for is sealed into the token itself, so that it costs no row and survives a move with the
tenant's key. It names the authorization it came from, so that a second use of the code can revoke it. Claims that
custom code gave the ID token come along, as /userinfo tells them at Auth0 too.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.kernel.crypto import jose
from freehold.kernel.crypto.sealing import CannotOpen
from freehold.kernel.declare import TenantScope

LIFETIME_S = 86_400
WEB_LIFETIME_S = 7_200
LARGEST_CLAIMS = 4096
"""Bytes of custom claims: a token with many more would not fit into a header."""
_CONTEXT = "userinfo access token"


class UserinfoGrant(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a token lets /userinfo tell."""

    sub: str
    client_id: str
    scope: str
    exp: int
    grant_id: str | None = None
    claims: dict[str, Any] = {}
    """What custom code has set for the ID token."""


_decode = msgspec.json.Decoder(UserinfoGrant).decode


def make_opaque_token(tenant: TenantScope, grant: UserinfoGrant) -> str:
    """A token that holds the grant."""
    return jose.b64u_encode(tenant.sealer.seal(msgspec.json.encode(grant), context=_CONTEXT)).decode()


def portable(claims: Mapping[str, Any] | None) -> dict[str, Any]:
    """The claims that a token takes along: all, or none when they are too many."""
    return dict(claims) if claims and len(msgspec.json.encode(claims)) <= LARGEST_CLAIMS else {}


def open_opaque_token(tenant: TenantScope, token: str) -> UserinfoGrant | None:
    """What a token of ours stands for, None for anything else; its life is not checked here."""
    try:
        return _decode(tenant.sealer.open(jose.b64u_decode(token.encode("ascii")), context=_CONTEXT))
    except (CannotOpen, jose.InvalidToken, UnicodeEncodeError):
        return None
