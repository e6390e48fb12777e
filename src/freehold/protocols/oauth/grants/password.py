"""Password grants (RFC 6749 section 4.3): against the tenant's default directory, or a connection named as `realm`.

The answer to an unknown user and to a wrong password is the same, in words and in time.
"""

from typing import Any

from freehold.domain.access import ResourceServer
from freehold.domain.authenticators import demand_for
from freehold.domain.connections import CONNECTIONS, Connection
from freehold.domain.extensions.databases import ScriptFailed
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import (
    Database,
    SignIn,
    Verification,
    attempt_subject,
    check_sign_in,
    find_database,
    find_for_login,
    keep_rehash,
    record_login,
    record_return,
)
from freehold.kernel.declare import documents
from freehold.kernel.store import Transaction
from freehold.protocols.oauth.audiences import default_audience, find_api, scopes_for_users
from freehold.protocols.oauth.errors import AccessDenied, InvalidGrant, InvalidRequest
from freehold.protocols.oauth.exchange import Grant, TokenRequest, record
from freehold.protocols.oauth.mfa_exchange import ask_for_more
from freehold.protocols.oauth.mfa_tokens import Waiting
from freehold.protocols.oauth.user_tokens import (
    Issue,
    SecondFactorDemanded,
    issue,
    may_still_sign_in,
    prepare,
)

WRONG = "Wrong email or password."
_STANDARD = ("openid", "profile", "email", "address", "phone")


async def redeem_password(request: TokenRequest) -> dict[str, Any]:
    """Tokens for a user of the tenant's `default_directory`. Raises InvalidGrant, AccessDenied."""
    settings = await documents.cached_singleton(request.store, request.tenant, SETTINGS)
    if not settings.default_directory:
        raise AccessDenied("Authorization server not configured with default connection.")
    return await _redeem(request, settings.default_directory)


async def redeem_realm(request: TokenRequest) -> dict[str, Any]:
    """Tokens for a user of the connection in `realm`. Raises InvalidGrant, InvalidRequest."""
    return await _redeem(request, request.required("realm"))


async def _redeem(request: TokenRequest, realm: str) -> dict[str, Any]:
    store, tenant = request.store, request.tenant
    username, password = request.required("username"), request.required("password")
    connection = await _connection(request, realm)
    request.notes.update(
        user_name=username[:256], connection=connection.name, connection_id=connection.id, strategy="auth0",
        strategy_type="database",
    )  # fmt: skip
    database = await find_database(store, tenant, realm)
    assert database is not None  # the connection is there
    found = await find_for_login(store, tenant, database, username)
    if found is not None:
        request.notes["user_id"] = found.user.user_id
    guard = request.services.login_guard.attempt(
        store, tenant, connection=database.name, subject=attempt_subject(found, username), ip=request.ip,
        enabled=database.is_guarded,
    )  # fmt: skip
    async with guard as attempt:
        try:
            checked = await check_sign_in(request.services, tenant, database, found, username, password)
        except ScriptFailed as error:
            raise AccessDenied(error.message, code="unauthorized" if error.code == "unauthorized" else None) from None
        found, verification = checked.found, checked.verification
        if found is None or not verification.ok:
            async with store.transaction() as tx:
                if await attempt.failed(tx):
                    await record(tx, request, "limit_wc", description="Blocked account: too many failed sign-ins")
                    if found is not None and attempt.tells:
                        await request.services.mail.send_blocked_account(
                            tx, tenant, found.user.user_id, connection=database.name, subject=attempt.subject,
                            ip=request.ip,
                        )  # fmt: skip
                if attempt.throttles:
                    await record(tx, request, "limit_mu", description="Too many failed sign-ins from one address")
            raise InvalidGrant(WRONG)
        return await _issue(request, database, found, verification, attempt)


async def _issue(
    request: TokenRequest, database: Database, found: SignIn, verification: Verification, attempt: Any
) -> dict[str, Any]:
    store, tenant, user = request.store, request.tenant, found.user
    request.notes.update(user_id=user.user_id, user_name=user.email or user.username or user.user_id)
    if user.blocked:
        async with store.transaction() as tx:
            await attempt.succeeded(tx)
        raise AccessDenied("user is blocked", code="unauthorized")
    audience = request.text("audience") or await default_audience(store, tenant)
    api = await find_api(store, tenant, audience)
    asked = (request.text("scope") or "").split() or await _everything(request, api)
    demand = await demand_for(
        store, tenant, user.user_id, acr_values=request.text("acr_values"), audience=audience
    )  # fmt: skip
    waiting = Waiting(
        user_id=user.user_id,
        identity_id=found.identity_id,
        client_id=request.client.client_id,
        connection=database.name,
        audience=audience,
        scope=" ".join(asked),
        asked=bool(request.text("scope")),
    )

    async def note(tx: Transaction) -> None:
        await attempt.succeeded(tx)
        await keep_rehash(tx, tenant, found, verification)

    if demand.needed:
        await ask_for_more(request, waiting, note=note)
    wanted = Issue(
        user=user,
        api=api,
        asked=asked if request.text("scope") else (),
        scopes=asked,
        connection=database.name,
        auth_time=tenant.clock.now_ms() // 1000,
        gty="password",
    )
    try:
        prepared = await prepare(request, wanted)
    except SecondFactorDemanded:
        await ask_for_more(request, waiting, note=note)
    async with store.transaction() as tx:
        await attempt.succeeded(tx)
        signed_in = prepared.wanted.user.user_id
        if signed_in == user.user_id:
            await record_login(tx, tenant, found, ip=request.ip, verification=verification)
        else:
            await record_return(tx, tenant, signed_in, ip=request.ip)
            request.notes["user_id"] = signed_in
        answer = await issue(tx, request, prepared)
        await record(tx, request, "sepft", scope=" ".join(prepared.scopes))
        return answer


async def _connection(request: TokenRequest, realm: str) -> Connection:
    """The database of this name, if the client's users may come from it. Raises InvalidRequest."""
    connection = await documents.cached_by(request.store, request.tenant, CONNECTIONS, name=realm)
    if connection is None:
        raise InvalidRequest("the connection was not found")
    if connection.strategy != "auth0":
        raise InvalidRequest("specified strategy does not support requested operation")
    if not await may_still_sign_in(request.store, request.tenant, request.client, realm):
        raise InvalidRequest("the connection was disabled")
    return connection


async def _everything(request: TokenRequest, api: ResourceServer | None) -> list[str]:
    """What a request without `scope` gets: the application has the user's password, so it may as well (recorded)."""
    if api is None:
        return list(_STANDARD)
    allowed = await scopes_for_users(request.store, request.tenant, request.client, api)
    return [*_STANDARD, *sorted(allowed)]


PASSWORD = Grant("password", redeem_password, failure="fepft")
PASSWORD_REALM = Grant("http://auth0.com/oauth/grant-type/password-realm", redeem_realm, failure="fepft")
