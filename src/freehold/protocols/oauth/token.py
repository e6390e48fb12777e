"""The token endpoint (RFC 6749 section 3.2).

Runs the steps every grant shares, in this order: parse, find the grant, authenticate the client, check that it may use
the grant, redeem, issue. A grant supplies `redeem` and nothing else, so it cannot forget a shared step. Grants live in
`grants/`, one file each, and in the list there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from freehold.domain.applications import Client
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.kernel.store import Store, Transaction
from freehold.protocols.oauth.client_authentication import authenticate_client
from freehold.protocols.oauth.errors import (
    InvalidRequest,
    OAuthError,
    UnauthorizedClient,
    UnsupportedGrantType,
)


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
        return value

    def required(self, name: str) -> str:
        """A string parameter that must be there. Raises InvalidRequest."""
        value = self.text(name)
        if value is None:
            raise InvalidRequest(f"Missing required parameter: {name}")
        return value


Redeem = Callable[[TokenRequest], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Grant:
    """A way to get tokens: its grant_type, what it redeems, and the event types of success and failure."""

    grant_type: str
    redeem: Redeem
    """Checks what the request offers and answers the token response; raises OAuthError."""
    success: str
    failure: str
    confidential: bool = False
    """Whether a client without credentials of its own is refused (RFC 6749 section 4.4)."""


async def token_endpoint(request: Request) -> Response:
    """POST /oauth/token."""
    from freehold.protocols.oauth.grants import GRANTS

    params = await request.body_params()
    grant_type = params.get("grant_type")
    if not grant_type:
        raise InvalidRequest("Missing required parameter: grant_type")
    grant = GRANTS.get(grant_type) if isinstance(grant_type, str) else None
    if grant is None:
        raise UnsupportedGrantType(f"Unsupported grant type: {str(grant_type)[:80]}")
    tenant: TenantScope = request.tenant
    services = request.services
    client = await authenticate_client(request, params, store=services.store, tenant=tenant)
    token_request = TokenRequest(request, services, tenant, client, params)
    try:
        if not isinstance(client.grant_types, list) or grant_type not in client.grant_types:
            raise UnauthorizedClient(f"Grant type '{grant_type}' not allowed for the client.")
        if grant.confidential and client.token_endpoint_auth_method == "none":  # noqa: S105
            raise UnauthorizedClient(f"Grant type '{grant_type}' not allowed for the client.")
        return json(await grant.redeem(token_request))
    except OAuthError as error:
        await record_failure(token_request, grant.failure, error)
        raise


async def record_failure(request: TokenRequest, event: str, error: FreeholdError) -> None:
    """Tell the tenant's log that an exchange failed, and why."""
    async with request.store.transaction() as tx:
        await record(tx, request, event, description=error.message, details={"error": {"type": error.code}})


async def record(tx: Transaction, request: TokenRequest, event: str, **fields: Any) -> None:
    """An event of this exchange in the tenant's log."""
    http, client = request.http, request.client
    facts = {
        "client_id": client.client_id,
        "client_name": client.name,
        "ip": http.client_ip,
        "user_agent": http.headers.get("user-agent"),
        "hostname": http.host,
        "audience": request.params.get("audience"),
        "scope": request.params.get("scope"),
        **request.notes,
        **fields,
    }
    await request.tenant.events.record(tx, request.tenant, event, **facts)
