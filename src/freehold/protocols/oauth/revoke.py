"""Token revocation (RFC 7009): only refresh tokens are kept, and only their own client may revoke them."""

from freehold.domain.sessions import find_refresh_token, revoke_grant, revoke_refresh_token, revoke_refresh_tokens_of
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty
from freehold.protocols.oauth.client_authentication import authenticate_client
from freehold.protocols.oauth.errors import InvalidClient, InvalidRequest


async def revoke(request: Request) -> Response:
    """POST /oauth/revoke: 200 also for tokens nobody knows (section 2.2)."""
    params = await request.body_params()
    tenant: TenantScope = request.tenant
    store = request.services.store
    try:
        client = await authenticate_client(request, params, store=store, tenant=tenant)
    except InvalidClient as error:
        raise InvalidClient(error.message, code="invalid_client") from None  # here Auth0 says it as section 2.2.1 does
    value = params.get("token")
    if not isinstance(value, str) or not value:
        raise InvalidRequest("Missing required parameter: token")
    token = await find_refresh_token(store, tenant, value)
    if token is not None and token.client_id == client.client_id:
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        async with store.transaction() as tx:
            if settings.flags.get("revoke_refresh_token_grant"):
                await revoke_refresh_tokens_of(tx, tenant, token.user_id, client_id=client.client_id)
            await revoke_refresh_token(tx, tenant, token.id)
            if token.grant_id is not None:
                # Access tokens of the same authorization stop working at /userinfo (section 2.1).
                await revoke_grant(tx, tenant, user_id=token.user_id, grant_id=token.grant_id)
            await tenant.events.record(
                tx, tenant, "srrt", client_id=client.client_id, client_name=client.name, user_id=token.user_id,
                ip=request.client_ip, user_agent=request.headers.get("user-agent"), hostname=tenant.domain,
            )  # fmt: skip
    return empty(200)
