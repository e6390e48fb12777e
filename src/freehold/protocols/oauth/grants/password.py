"""Password grants (RFC 6749 section 4.3): against the tenant's default directory, or a connection named as `realm`.

The answer to an unknown user and to a wrong password is the same, in words and in time.
"""

from typing import Any

from freehold.domain.connections import CONNECTIONS, enabled_connections
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import find_database, find_for_login, record_login, verify_password
from freehold.kernel.declare import documents
from freehold.protocols.oauth.errors import AccessDenied, InvalidGrant, InvalidRequest
from freehold.protocols.oauth.token import Grant, TokenRequest, record
from freehold.protocols.oauth.user_tokens import Issue, find_api, issue, prepare

WRONG = "Wrong email or password."


async def redeem_password(request: TokenRequest) -> dict[str, Any]:
    """Tokens for a user of the tenant's `default_directory`. Raises InvalidGrant, AccessDenied."""
    settings = await documents.cached_singleton(request.store, request.tenant, SETTINGS)
    connection = settings.default_directory
    if not isinstance(connection, str) or not connection:
        raise AccessDenied("Authorization server not configured with default connection.")
    return await _redeem(request, connection, gty="password")


async def redeem_realm(request: TokenRequest) -> dict[str, Any]:
    """Tokens for a user of the connection in `realm`. Raises InvalidGrant, InvalidRequest."""
    return await _redeem(request, request.required("realm"), gty="password")


async def _redeem(request: TokenRequest, realm: str, *, gty: str) -> dict[str, Any]:
    store, tenant, client = request.store, request.tenant, request.client
    username, password = request.required("username"), request.required("password")
    connection = await documents.cached_by(store, tenant, CONNECTIONS, name=realm)
    if connection is None:
        raise InvalidRequest("the connection was not found")
    if connection.strategy != "auth0":
        raise InvalidRequest("specified strategy does not support requested operation")
    if connection.id not in {enabled.id for enabled in await enabled_connections(store, tenant, client.client_id)}:
        raise InvalidRequest("the connection was disabled")
    request.notes.update(
        user_name=username[:256], connection=connection.name, connection_id=connection.id, strategy="auth0",
        strategy_type="database",
    )  # fmt: skip
    database = await find_database(store, tenant, realm)
    found = await find_for_login(store, tenant, database, username) if database else None
    verification = await verify_password(store, tenant, request.services.passwords, found, password)
    if found is None or not verification.ok:
        raise InvalidGrant(WRONG)
    user = found.user
    request.notes.update(user_id=user.user_id, user_name=user.email or user.user_id)
    if user.blocked:
        raise AccessDenied("user is blocked", code="unauthorized")
    asked = (request.text("scope") or "openid profile email").split()
    audience = request.text("audience")
    if audience is None:
        settings = await documents.cached_singleton(store, tenant, SETTINGS)
        audience = settings.default_audience if isinstance(settings.default_audience, str) else None
    prepared = await prepare(
        request,
        Issue(
            user=user,
            api=await find_api(store, tenant, audience),
            asked=asked,
            scopes=asked,
            connection=connection.name,
            auth_time=tenant.clock.now_ms() // 1000,
            gty=gty,
        ),
    )
    async with store.transaction() as tx:
        await record_login(tx, tenant, found, ip=request.http.client_ip, verification=verification)
        await record(tx, request, "sepft")
        return await issue(tx, request, prepared)


PASSWORD = Grant("password", redeem_password, success="sepft", failure="fepft")
PASSWORD_REALM = Grant(
    "http://auth0.com/oauth/grant-type/password-realm", redeem_realm, success="sepft", failure="fepft"
)
