"""The client is the subject (RFC 6749 section 4.4); no refresh token, no user.

Without a `scope` parameter the token carries every scope of the client grant; with one, those of it that were granted.
"""

from typing import Any

from freehold.domain.access import CLIENT_GRANTS, may_act_for_itself, scopes_of
from freehold.domain.extensions import claims as claims_of_code
from freehold.domain.extensions import points
from freehold.domain.extensions.executions import Execution, keep_all, summary
from freehold.domain.keys import signing_key
from freehold.kernel.declare import documents
from freehold.login.code_facts import client_facts, request_facts
from freehold.protocols.oauth.access_tokens import sign_access_token
from freehold.protocols.oauth.audiences import NotGranted, default_audience, find_api, not_granted
from freehold.protocols.oauth.errors import AccessDenied, CodeRefused, InvalidRequest
from freehold.protocols.oauth.exchange import Grant, TokenRequest, record


async def redeem(request: TokenRequest) -> dict[str, Any]:
    """A token for the API in `audience`, or the tenant's default one. Raises AccessDenied without a client grant."""
    store, tenant, client = request.store, request.tenant, request.client
    if request.text("organization"):
        raise InvalidRequest("Organizations are not available on this server yet")
    audience = request.text("audience") or await default_audience(store, tenant)
    if not audience:
        raise AccessDenied("No audience parameter was provided, and no default audience has been configured")
    api = await find_api(store, tenant, audience)
    if api is None:
        raise AccessDenied(f"Service not found: {audience[:200]}")
    grant = await documents.cached_by(
        store, tenant, CLIENT_GRANTS, client_id=client.client_id, audience=audience, subject_type="client"
    )
    if grant is None or not may_act_for_itself(api):
        raise NotGranted(not_granted(client.client_id, audience))
    wanted = request.text("scope")
    scopes = scopes_of(grant, api)
    if wanted is not None:
        asked = wanted.split()
        scopes = [scope for scope in scopes if scope in asked]
    claims: dict[str, Any] = {
        "iss": tenant.issuer,
        "sub": f"{client.client_id}@clients",
        "aud": audience,
        "gty": "client-credentials",
        "azp": client.client_id,
    }
    executions: list[Execution] = []
    if await points.has_code(store, tenant, "credentials-exchange"):
        custom, scopes, executions = await _run_code(request, audience, scopes)
        claims = {**custom, **claims}
    if scopes:
        claims["scope"] = " ".join(scopes)
    lifetime_s = api.token_lifetime
    token = sign_access_token(
        claims,
        api=api,
        key=await signing_key(store, tenant),
        now_s=tenant.clock.now_ms() // 1000,
        lifetime_s=lifetime_s,
    )
    if executions:
        async with store.transaction() as tx:
            await keep_all(tx, tenant, executions)
            await record(tx, request, "seccft", audience=audience, scope=" ".join(scopes), details=summary(executions))
    else:
        await record(store, request, "seccft", audience=audience, scope=" ".join(scopes))
    answer: dict[str, Any] = {"access_token": token}
    if scopes:
        answer["scope"] = " ".join(scopes)
    answer |= {"expires_in": lifetime_s, "token_type": "Bearer"}
    return answer


async def _run_code(
    request: TokenRequest, audience: str, scopes: list[str]
) -> tuple[dict[str, Any], list[str], list[Execution]]:
    """What hooks and actions make of the token: claims, scopes, and a record. Raises CodeRefused."""
    http, client, tenant = request.http, request.client, request.tenant
    found = await points.run_credentials_exchange(
        request.services, tenant, client=client_facts(client), audience=audience, scopes=scopes,
        request=request_facts(http, ip=request.ip, body=request.params),
    )  # fmt: skip
    if found.denied is not None:
        async with request.store.transaction() as tx:
            await keep_all(tx, tenant, found.executions)
        raise CodeRefused(*found.denied)
    only_namespaced = audience == tenant.management_audience
    return claims_of_code.allowed(found.claims, only_namespaced=only_namespaced), found.scopes, found.executions


CLIENT_CREDENTIALS = Grant("client_credentials", redeem, failure="feccft", confidential=True)
