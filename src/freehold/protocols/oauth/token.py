"""The token endpoint (RFC 6749 section 3.2).

Runs the steps every grant shares, in this order: parse, find the grant, authenticate the client, check that it may use
the grant, redeem, issue. A grant supplies `redeem` and nothing else, so it cannot forget a shared step. Grants live in
`grants/`, one file each, and in the list there.
"""

from typing import Any

from freehold.domain.applications import Client
from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.protocols.oauth.authorize_request import wants_fapi
from freehold.protocols.oauth.client_authentication import authenticate_client, find_claimed_client
from freehold.protocols.oauth.errors import (
    InvalidClient,
    InvalidRequest,
    OAuthError,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from freehold.protocols.oauth.exchange import Grant, TokenRequest, record
from freehold.protocols.oauth.grants import GRANTS
from freehold.protocols.oauth.mfa_tokens import MfaRequired


async def token_endpoint(request: Request) -> Response:
    """POST /oauth/token."""
    params = await request.body_params()
    grant_type = params.get("grant_type")
    if not grant_type:
        raise InvalidRequest("Missing required parameter: grant_type")
    grant = GRANTS.get(grant_type) if isinstance(grant_type, str) else None
    if grant is None:
        raise UnsupportedGrantType(f"Unsupported grant type: {str(grant_type)[:80]}")
    tenant: TenantScope = request.tenant
    services = request.services
    try:
        client = await authenticate_client(request, params, store=services.store, tenant=tenant)
    except InvalidClient as error:
        claimed = await find_claimed_client(request, params, store=services.store, tenant=tenant)
        if claimed is not None:
            await _record_failure(TokenRequest(request, services, tenant, claimed, params), grant.failure, error)
        raise
    token_request = TokenRequest(request, services, tenant, client, params)
    try:
        check_may_use(grant, client)
        return json(await grant.redeem(token_request))
    except MfaRequired:
        raise  # the password was right, and the log says that more is asked for
    except OAuthError as error:
        # A full queue and a blocked place are not among these: refusing them costs next to nothing, and stays so.
        await _record_failure(token_request, grant.failure, error)
        raise


def check_may_use(grant: Grant, client: Client) -> None:
    """Check that the client may use the grant, and that its tokens are of a kind we can make. Raises."""
    if grant.grant_type not in client.grant_types or (
        grant.confidential and client.token_endpoint_auth_method == "none"  # noqa: S105 - a method's name
    ):
        raise UnauthorizedClient(f"Grant type '{grant.grant_type}' not allowed for the client.")
    if client.require_proof_of_possession is True:
        raise InvalidRequest("The client wants tokens that are bound to a key, which this server cannot make yet.")
    if wants_fapi(client):
        raise InvalidRequest("The client wants a FAPI profile, which this server does not have yet.")


async def _record_failure(request: TokenRequest, event: str, error: OAuthError) -> None:
    """Tell the tenant's log that an exchange failed, and why."""
    details: dict[str, Any] = {"error": {"type": error.code, "message": error.message}}
    await record(request.store, request, event, description=error.message, details=details)
