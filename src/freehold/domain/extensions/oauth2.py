"""Custom OAuth 2.0 connections (Auth0 docs, "Connect Apps to Generic OAuth2 Authorization Servers").

Where the browser is sent, what the code is exchanged for, and whom the script `fetchUserProfile` says it is. The token
endpoint is asked through the guarded client, the script runs in the sandbox; what either answers is foreign.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from freehold.domain.extensions.databases import FAILED, PROFILE, TOKENS, ExternalUser, ScriptFailed, user_of
from freehold.domain.extensions.executions import Execution, keep
from freehold.domain.extensions.running import Deadline, legacy_script, run
from freehold.kernel.declare import TenantScope
from freehold.kernel.outbound import Outbound, OutboundError

STRATEGY = "oauth2"
MOST_OTHERS, LARGEST_OTHERS = 100, 16_384
ALIASES = frozenset({
    "acr_values", "audience", "client_id", "display", "id_token_hint", "login_hint", "max_age", "prompt", "resource",
    "response_mode", "response_type", "ui_locales",
})  # fmt: skip
_OURS = frozenset({"client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method"})
_SET_BY_CLIENT = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


def authorization_url(
    options: Mapping[str, Any], *, redirect_uri: str, state: str, verifier: str, asked: Mapping[str, Any]
) -> str:
    """Where the browser goes to sign in; `asked` is the application's own authorization request."""
    params: dict[str, str] = {}
    for name, value in (options.get("authParams") or {}).items():
        params[name] = str(value)
    for name, ours in (options.get("authParamsMap") or {}).items():
        if asked.get(ours):
            params[name] = str(asked[ours])
    for name, given in (options.get("upstream_params") or {}).items():
        if isinstance(given, dict) and given.get("value") is not None:
            params[name] = str(given["value"])
        elif isinstance(given, dict) and given.get("alias") in ALIASES and asked.get(given["alias"]):
            params[name] = str(asked[given["alias"]])
    # Nothing that is configured or asked for may take the place of what protects the answer.
    params = {name: value for name, value in params.items() if name not in _OURS}
    scope = _scope(options, str(asked.get("connection_scope") or ""))
    if scope:
        params["scope"] = scope
    params |= {"response_type": "code", "client_id": str(options.get("client_id") or "")}
    params |= {"redirect_uri": redirect_uri, "state": state}
    if options.get("pkce_enabled"):
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        params |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    url = str(options.get("authorizationURL") or "")
    return url + ("&" if "?" in url else "?") + urlencode(params)


def _scope(options: Mapping[str, Any], added: str) -> str:
    """The scopes of the connection, with those that the application's `connection_scope` adds."""
    scope = options.get("scope") or ""
    if not added:
        return " ".join(map(str, scope)) if isinstance(scope, list) else str(scope)
    known = list(map(str, scope)) if isinstance(scope, list) else str(scope).replace(",", " ").split()
    wanted = dict.fromkeys([*known, *added.replace(",", " ").split()])
    return (" " if options.get("useOauthSpecScope") else ",").join(wanted)


async def redeem(outbound: Outbound, options: Mapping[str, Any], *, code: str, redirect_uri: str, verifier: str) -> Any:
    """Exchange a code; the token answer. Raises OutboundError."""
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
        "client_id": str(options.get("client_id") or ""),
    }  # fmt: skip
    if options.get("client_secret"):
        form["client_secret"] = str(options["client_secret"])
    if options.get("pkce_enabled"):
        form["code_verifier"] = verifier
    headers = {"accept": "application/json"}
    custom = options.get("customHeaders")
    for name, value in (custom if isinstance(custom, dict) else {}).items():
        if name.lower() not in _SET_BY_CLIENT and f"{name}{value}".isprintable():
            headers[name] = str(value)
    answer = await outbound.post(str(options.get("tokenURL") or ""), form=form, headers=headers)
    told = answer.json()
    if answer.status >= 300 or not isinstance(told, dict) or not isinstance(told.get("access_token"), str):
        raise OutboundError("refused", f"the token endpoint answered {answer.status}")
    return told


async def fetch_profile(services: Any, tenant: TenantScope, connection: Any, tokens: Mapping[str, Any]) -> ExternalUser:
    """Ask the script whose token this is. Raises ScriptFailed."""
    code = (connection.options.get("scripts") or {}).get("fetchUserProfile")
    if not code:
        raise ScriptFailed("Please implement the fetchUserProfile script for this connection.")
    script = await legacy_script(services, tenant, f"{connection.id}/fetchUserProfile", code, "script")
    execution = Execution("oauth2-fetchUserProfile", tenant.clock.now_ms())
    hidden = [str(value) for name, value in tokens.items() if name.endswith("token")]
    outcome = await run(
        services, tenant, script, "", [tokens["access_token"], dict(tokens)], name=f"{connection.name}: profile",
        execution=execution, deadline=Deadline(), hidden=hidden,
    )  # fmt: skip
    execution.hide_members(TOKENS)
    await keep(services.store, tenant, execution)
    if outcome.error is not None:
        raise ScriptFailed(outcome.error.message if outcome.error.type == "UnauthorizedError" else FAILED)
    answered = outcome.value[0] if isinstance(outcome.value, list) and outcome.value else None
    if isinstance(answered, dict):
        fields = connection.options.get("fieldsMap") or {}
        answered |= {ours: answered[theirs] for ours, theirs in fields.items() if theirs in answered}
    user = user_of(answered, prefix="")
    if user is None:
        raise ScriptFailed(FAILED)
    return replace(user, tokens=dict(tokens), others=_others(answered or {}))


def _others(answered: Mapping[str, Any]) -> dict[str, Any]:
    """What a profile says besides what every profile has; all of it is left out when it is too much to keep."""
    named = {*PROFILE, *TOKENS, "user_id", "id", "metadata", "mfa_factors"}
    found = {name: value for name, value in answered.items() if name not in named and value is not None}
    return found if len(found) <= MOST_OTHERS and len(msgspec.json.encode(found)) <= LARGEST_OTHERS else {}


async def logout_url(
    services: Any, tenant: TenantScope, connection: Any, *, user_id: str, return_to: str
) -> str | None:
    """Where the browser ends its session with the provider: what `getLogoutUrl` answers, or `logoutUrl`; None without.

    A script that fails ends nothing here: the session with us is over all the same.
    """
    options = connection.options
    code = (options.get("scripts") or {}).get("getLogoutUrl")
    if not code:
        url = str(options.get("logoutUrl") or "")
        if url and return_to:
            url += ("&" if "?" in url else "?") + urlencode({"returnTo": return_to})
        return url if _is_url(url) else None
    script = await legacy_script(services, tenant, f"{connection.id}/getLogoutUrl", code, "script")
    execution = Execution("oauth2-getLogoutUrl", tenant.clock.now_ms())
    context = {
        "returnTo": return_to, "user": {"user_id": user_id}, "logoutUrl": options.get("logoutUrl") or "",
        "connection": connection.name, "client_id": options.get("client_id") or "",
    }  # fmt: skip
    outcome = await run(
        services, tenant, script, "", [context], name=f"{connection.name}: logout URL", execution=execution,
        deadline=Deadline(),
    )  # fmt: skip
    await keep(services.store, tenant, execution)
    answered = outcome.value[0] if isinstance(outcome.value, list) and outcome.value else None
    return answered if outcome.error is None and isinstance(answered, str) and _is_url(answered) else None


def _is_url(url: str) -> bool:
    return url.startswith(("https://", "http://")) and url.isprintable() and "\\" not in url and " " not in url
