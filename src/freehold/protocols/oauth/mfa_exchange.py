"""What the grants of the MFA API share: giving out the mfa_token, reading it, and issuing what waited for it.

Everything is looked at anew: the user, the client's connection, the API and its scopes may have changed since.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from freehold.domain.authenticators import Unmet, check_possible, factors_of, guardian_of, mfa_audience
from freehold.domain.sessions import finish_login
from freehold.domain.users import Profile, SignIn, find_profile, record_login
from freehold.kernel.errors import Unauthorized
from freehold.kernel.store import Transaction
from freehold.protocols.oauth import mfa_tokens
from freehold.protocols.oauth.access_tokens import verify_access_token
from freehold.protocols.oauth.audiences import find_api
from freehold.protocols.oauth.errors import AccessDenied, InvalidGrant
from freehold.protocols.oauth.exchange import TokenRequest, record
from freehold.protocols.oauth.mfa_tokens import MALFORMED, MfaRequired, Waiting
from freehold.protocols.oauth.user_tokens import Issue, issue, may_still_sign_in, prepare, still_consents

Also = Callable[[Transaction], Awaitable[bool]]
"""What has to succeed in the same transaction."""
Note = Callable[[Transaction], Awaitable[None]]


async def ask_for_more(request: TokenRequest, waiting: Waiting, *, note: Note | None = None) -> NoReturn:
    """What was shown is not enough: begin to wait, in the transaction in which `note` is taken of what was shown.

    Raises MfaRequired, or AccessDenied when the user can show nothing more.
    """
    store, tenant = request.store, request.tenant
    guardian, known = await guardian_of(store, tenant), await factors_of(store, tenant, waiting.user_id)
    token, refusal = "", None
    try:
        check_possible(guardian, known)
    except Unmet as unmet:
        refusal = unmet.reason
    async with store.transaction() as tx:
        if note is not None:
            await note(tx)
        if refusal is None:
            token = await mfa_tokens.begin(tx, tenant, waiting)
            await record(tx, request, "mfar")
    if refusal is not None:
        raise AccessDenied(refusal)
    raise MfaRequired(token, mfa_tokens.requirements(guardian, known))


async def waiting_for(request: TokenRequest) -> tuple[Waiting, Profile]:
    """What the mfa_token of a request stands for, and whose it is. Raises InvalidGrant, AccessDenied."""
    store, tenant, client = request.store, request.tenant, request.client
    waiting = await mfa_tokens.get(store, tenant, request.required("mfa_token"), client_id=client.client_id)
    return waiting, await _user(request, waiting)


async def waiting_to_enrol(request: TokenRequest) -> tuple[Waiting, Profile] | None:
    """The same where an access token of the MFA API stands in for the mfa_token, to confirm a further factor."""
    token = request.required("mfa_token")
    if token.count(".") != 2:
        return None
    tenant = request.tenant
    try:
        claims = await verify_access_token(request.store, tenant, token, audience=mfa_audience(tenant))
    except Unauthorized:
        raise InvalidGrant(MALFORMED) from None
    scopes = str(claims.get("scope", "")).split()
    if "enroll" not in scopes or claims.get("azp") != request.client.client_id:
        raise InvalidGrant(MALFORMED)
    user = await find_profile(request.store, tenant, str(claims["sub"]))
    if user is None:
        raise InvalidGrant(MALFORMED)
    waiting = Waiting(
        user_id=user.user_id,
        identity_id=user.user_id,
        client_id=request.client.client_id,
        connection=user.connection,
        audience=mfa_audience(tenant),
        scope=" ".join(scopes),
        asked=True,
    )
    return waiting, await _user(request, waiting)


def facts_of(request: TokenRequest) -> dict[str, Any]:
    """What entries of the tenant's log say about this exchange."""
    return {
        **request.notes,
        "client_id": request.client.client_id,
        "client_name": request.client.name,
        "ip": request.ip,
        "user_agent": request.http.headers.get("user-agent"),
        "hostname": request.http.host,
    }


async def finish(
    request: TokenRequest, waiting: Waiting, user: Profile, *, event: str, also: Also | None = None
) -> dict[str, Any]:
    """Tokens for a user who has shown everything; the mfa_token is used up. Raises InvalidGrant, AccessDenied."""
    store, tenant = request.store, request.tenant
    scopes = waiting.scope.split()
    if waiting.consented and not await still_consents(
        store, tenant, request.client, user_id=user.user_id, audience=waiting.audience or "", scopes=scopes
    ):
        raise InvalidGrant(MALFORMED)
    wanted = Issue(
        user=user,
        api=await find_api(store, tenant, waiting.audience),
        asked=scopes if waiting.asked else (),
        scopes=scopes,
        connection=waiting.connection,
        auth_time=tenant.clock.now_ms() // 1000,
        amr=("mfa",),
        sid=waiting.sid,
        grant_id=waiting.grant_id,
        consented=waiting.consented,
        gty="password",
    )
    prepared = await prepare(request, wanted)
    async with store.transaction() as tx:
        if waiting.row is not None and not await finish_login(tx, tenant, waiting.row):
            raise InvalidGrant(MALFORMED)
        if also is not None and not await also(tx):
            raise InvalidGrant("Invalid recovery code.")
        await record_login(tx, tenant, SignIn(user, waiting.identity_id), ip=request.ip)
        answer = await issue(tx, request, prepared)
        await record(tx, request, event, scope=" ".join(prepared.scopes))
        return answer


async def _user(request: TokenRequest, waiting: Waiting) -> Profile:
    user = await find_profile(request.store, request.tenant, waiting.user_id)
    if user is None:
        raise InvalidGrant(MALFORMED)
    request.notes.update(
        user_id=user.user_id,
        user_name=user.email or user.username or user.user_id,
        connection=waiting.connection,
        strategy="auth0",
        strategy_type="database",
    )
    if user.blocked:
        raise AccessDenied("user is blocked", code="unauthorized")
    if not await may_still_sign_in(request.store, request.tenant, request.client, waiting.connection):
        raise InvalidGrant(MALFORMED)
    return user
