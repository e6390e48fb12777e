"""One exchange at the token endpoint: what a grant is given, and what a grant is."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import msgspec

from freehold.domain.applications import Client
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.store import Store, Writer
from freehold.protocols.oauth.errors import InvalidRequest

LONGEST_PARAMETER = 8192


@dataclass(slots=True)
class TokenRequest:
    """A parsed request of an authenticated client."""

    http: Request
    services: Any
    tenant: TenantScope
    client: Client
    params: Mapping[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    """What a grant learned that the failure event should say (user_id, user_name, connection)."""

    @property
    def ip(self) -> str:
        """Where the user is. A client that is trusted to say so names it (attack-protection), else the caller's."""
        public = self.client.token_endpoint_auth_method == "none"  # noqa: S105 - a method's name
        if self.client.is_token_endpoint_ip_header_trusted and not public:
            said = self.http.headers.get("auth0-forwarded-for", "").partition(",")[0].strip()
            with suppress(ValueError):
                return str(ip_address(said))
        return self.http.client_ip

    @property
    def store(self) -> Store:
        """The store, for reads before the transaction."""
        store: Store = self.services.store
        return store

    def text(self, name: str) -> str | None:
        """A string parameter, None when absent or empty. Raises InvalidRequest for another type."""
        value = self.params.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} parameter must be a string")
        if len(value) > LONGEST_PARAMETER:
            raise InvalidRequest(f"{name} parameter is too long")
        return value

    def required(self, name: str) -> str:
        """A string parameter that must be there. Raises InvalidRequest."""
        value = self.text(name)
        if value is None:
            raise InvalidRequest(f"Missing required parameter: {name}")
        return value


Redeem = Callable[[TokenRequest], Awaitable[dict[str, Any]]]


class Grant(msgspec.Struct, frozen=True):
    """A way to get tokens: its grant_type, what it redeems, and the event type of a failure."""

    grant_type: str
    redeem: Redeem
    """Checks what the request offers and answers the token response; raises OAuthError."""
    failure: str
    confidential: bool = False
    """Whether a client without credentials of its own is refused (RFC 6749 section 4.4)."""


async def record(tx: Writer, request: TokenRequest, event: str, **fields: Any) -> None:
    """An event of this exchange in the tenant's log."""
    http, client = request.http, request.client
    facts = {
        "client_id": client.client_id,
        "client_name": client.name,
        "ip": request.ip,
        "user_agent": http.headers.get("user-agent"),
        "hostname": http.host,
        "audience": _said(request, "audience"),
        "scope": _said(request, "scope"),
        **request.notes,
        **fields,
    }
    await request.tenant.events.record(tx, request.tenant, event, **facts)


def _said(request: TokenRequest, name: str) -> str | None:
    """A parameter for the log, whatever it is."""
    value = request.params.get(name)
    return value if isinstance(value, str) else None
