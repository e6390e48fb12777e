"""What runs when somebody has signed in: all rules in their order, then the actions bound to `post-login`.

The pipeline gets facts and gives a verdict; it changes nothing. Who issues the tokens carries the verdict out. An
action that sends the user away suspends it, and it goes on from there with `onContinuePostLogin`; a rule that does so
lets the other rules finish, and all rules run again when the user comes back (Auth0 docs, "Redirect Users").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from freehold.domain.extensions import rules
from freehold.domain.extensions.commands import METHODS, BadCommand, are_scopes, checked
from freehold.domain.extensions.executions import Execution
from freehold.domain.extensions.rule_client import access_token, wants_client
from freehold.domain.extensions.running import Deadline, deployed_at, legacy_script, run_all, script_of, secrets_of
from freehold.domain.extensions.sandbox import Outcome, Step
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

TRIGGER = "post-login"
RULES_TRIGGER = "rules"
FAILED = "The sign-in failed in custom code. The tenant's log says why."


@dataclass(slots=True, kw_only=True)
class Facts:
    """What code may know of a sign-in, in Auth0's shapes. `user` is the profile as the Management API shows it."""

    user: dict[str, Any]
    client: dict[str, Any]
    """`client_id`, `name`, `metadata`."""
    connection: dict[str, Any]
    """`id`, `name`, `strategy`, `metadata`."""
    request: dict[str, Any]
    """`ip`, `method`, `query`, `body`, `hostname`, `user_agent`, `language`, `geoip`."""
    protocol: str
    scopes: list[str] = field(default_factory=list)
    audience: str | None = None
    roles: list[str] = field(default_factory=list)
    logins_count: int = 1
    methods: list[dict[str, Any]] = field(default_factory=list)
    enrolled_factors: list[dict[str, Any]] = field(default_factory=list)
    session: dict[str, Any] | None = None
    refresh_token: dict[str, Any] | None = None
    transaction: dict[str, Any] = field(default_factory=dict)
    can_redirect: bool = False
    state: str = ""


@dataclass(slots=True)
class Verdict:
    """What code decided."""

    id_token: dict[str, Any] = field(default_factory=dict)
    access_token: dict[str, Any] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)
    user_metadata: dict[str, Any] = field(default_factory=dict)
    app_metadata: dict[str, Any] = field(default_factory=dict)
    """Members to change; null removes."""
    denied: tuple[str, str] | None = None
    """An OAuth error code and a description."""
    redirect: str | None = None
    resume_at: int | None = None
    """The action that goes on when the user comes back; None after a redirect of a rule."""
    multifactor: dict[str, Any] | None = None
    factors: list[tuple[str, list[Any]]] = field(default_factory=list)
    """`challengeWith`, `enrollWith` and their `Any` forms with what they were given, in order."""
    primary_user: str | None = None
    session: list[tuple[str, list[Any]]] = field(default_factory=list)
    refresh_token: list[tuple[str, list[Any]]] = field(default_factory=list)
    recorded_methods: list[str] = field(default_factory=list)
    transaction_metadata: dict[str, Any] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)


async def has_code(store: Store, tenant: TenantScope) -> bool:
    """Whether anything runs after a sign-in at all; asked at each, and answered from the tenant's cache."""
    return bool(await rules.rules_in_order(store, tenant) or await deployed_at(store, tenant, TRIGGER))


async def run_post_login(
    services: Any,
    tenant: TenantScope,
    facts: Facts,
    *,
    verdict: Verdict | None = None,
    resume_at: int | None = None,
    came_back: bool = False,
    ask: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Verdict:
    """Run rules and actions. With `came_back` the user returns from a redirect that `verdict` asked for.

    With `resume_at` the actions go on at that one; without, it was a rule and everything runs again.
    """
    verdict = verdict or Verdict(scopes=list(facts.scopes))
    verdict.redirect = None
    deadline = Deadline()
    if resume_at is None:
        await _run_rules(services, tenant, facts, verdict, deadline, came_back=came_back, ask=ask or {})
    if verdict.denied is None and verdict.redirect is None:
        await _run_actions(services, tenant, facts, verdict, deadline, resume_at=resume_at, ask=ask or {})
    return verdict


# --- rules ---------------------------------------------------------------------------------------------------------


async def _run_rules(
    services: Any,
    tenant: TenantScope,
    facts: Facts,
    verdict: Verdict,
    deadline: Deadline,
    *,
    came_back: bool,
    ask: Mapping[str, Callable[[Any], Any]],
) -> None:
    enabled = await rules.rules_in_order(services.store, tenant)
    if not enabled:
        return
    configuration = await _configuration(services.store, tenant)
    token = await access_token(services.store, tenant) if wants_client(enabled) else ""
    around = {"domain": tenant.domain, "baseUrl": tenant.management_audience.rstrip("/"), "accessToken": token}
    user, context = _rule_user(facts), _rule_context(tenant, facts, came_back=came_back)
    execution = Execution(RULES_TRIGGER, tenant.clock.now_ms())
    verdict.executions.append(execution)
    steps = []
    for rule in enabled:
        script = await legacy_script(services, tenant, rule.id, rule.script, "rule")
        steps.append((rule.name, Step(script, "", configuration)))
    at = 0
    while at < len(steps):
        outcomes = await run_all(
            services, tenant, steps[at:], [user, context, around], execution=execution, deadline=deadline, answers=ask,
            hidden=[token] if token else (), following=lambda answered, given: [*answered, given[2]],
        )  # fmt: skip
        for outcome in outcomes:
            verdict.rules.append(enabled[at].id)
            at += 1
            if outcome.error is not None:
                verdict.denied = _refusal_of_rule(outcome)
                return
            if not _is_pipeline_answer(outcome.value):
                verdict.denied = ("access_denied", FAILED)
                return
            user, context = outcome.value
    _take_context(context, verdict, facts, came_back=came_back)


def _is_pipeline_answer(answered: Any) -> bool:
    return isinstance(answered, list) and len(answered) == 2 and all(isinstance(each, dict) for each in answered)


def _rule_user(facts: Facts) -> dict[str, Any]:
    """The profile, with the members of `app_metadata` at the root as rules have always found them."""
    app_metadata = facts.user.get("app_metadata") or {}
    return {**app_metadata, **facts.user, "user_metadata": facts.user.get("user_metadata") or {},
            "app_metadata": app_metadata}  # fmt: skip


def _rule_context(tenant: TenantScope, facts: Facts, *, came_back: bool) -> dict[str, Any]:
    connection, request = facts.connection, facts.request
    return {
        "tenant": tenant.name,
        "clientID": facts.client["client_id"],
        "clientName": facts.client["name"],
        "clientMetadata": facts.client.get("metadata") or {},
        "connection": connection["name"],
        "connectionID": connection["id"],
        "connectionStrategy": connection["strategy"],
        "connectionOptions": {},
        "connectionMetadata": connection.get("metadata") or {},
        "samlConfiguration": {},
        "jwtConfiguration": {},
        "protocol": "redirect-callback" if came_back else facts.protocol,
        "stats": {"loginsCount": facts.logins_count},
        "sso": {"with_auth0": False, "with_dbconn": False, "current_clients": [facts.client["client_id"]]},
        "accessToken": {"scope": list(facts.scopes)},
        "idToken": {},
        "sessionID": (facts.session or {}).get("id"),
        "authentication": {"methods": facts.methods},
        "authorization": {"roles": facts.roles},
        "multifactor": None,
        "request": {
            "userAgent": request.get("user_agent"), "ip": request.get("ip"), "hostname": request.get("hostname"),
            "query": request.get("query") or {}, "body": request.get("body") or {}, "geoip": request.get("geoip") or {},
        },
    }  # fmt: skip


def _take_context(context: Mapping[str, Any], verdict: Verdict, facts: Facts, *, came_back: bool) -> None:
    """What the rules left in `context`."""
    id_token, access_token = context.get("idToken"), context.get("accessToken")
    if isinstance(id_token, dict):
        verdict.id_token |= id_token
    if isinstance(access_token, dict):
        scope: Any = access_token.get("scope")
        if are_scopes(scope):
            verdict.scopes = scope
        verdict.access_token |= {name: value for name, value in access_token.items() if name != "scope"}
    multifactor = context.get("multifactor")
    if isinstance(multifactor, dict) and multifactor.get("provider") not in (None, "none"):
        verdict.multifactor = multifactor
    primary = context.get("primaryUser")
    if isinstance(primary, str) and primary != facts.user.get("user_id"):
        verdict.primary_user = primary
    redirect = context.get("redirect")
    if isinstance(redirect, dict) and isinstance(redirect.get("url"), str) and not came_back:
        try:
            checked(TRIGGER, [["redirect.sendUserTo", [redirect["url"]]]])
        except BadCommand:
            verdict.denied = ("access_denied", FAILED)
            return
        if not facts.can_redirect:
            verdict.denied = ("interaction_required", "The user has to be sent to another page, which is not possible.")
            return
        verdict.redirect = _with_query(redirect["url"], _state(facts))


def _refusal_of_rule(outcome: Outcome) -> tuple[str, str]:
    error = outcome.error
    if error is None or error.kind != "script":
        return "access_denied", FAILED
    if error.type == "UnauthorizedError":
        return "unauthorized", error.message or "Unauthorized"
    return "access_denied", error.message or FAILED


async def _configuration(store: Store, tenant: TenantScope) -> Mapping[str, str]:
    entries = tenant.cached(store.cache_epoch(tenant.id))
    if "rules configuration" not in entries:
        entries["rules configuration"] = await rules.configuration(store, tenant)
    found: Mapping[str, str] = entries["rules configuration"]
    return found


# --- actions -------------------------------------------------------------------------------------------------------


async def _run_actions(
    services: Any,
    tenant: TenantScope,
    facts: Facts,
    verdict: Verdict,
    deadline: Deadline,
    *,
    resume_at: int | None,
    ask: Mapping[str, Callable[[Any], Any]],
) -> None:
    bound = await deployed_at(services.store, tenant, TRIGGER)
    if not bound:
        return
    execution = Execution(TRIGGER, tenant.clock.now_ms())
    verdict.executions.append(execution)
    steps = []
    for index, (name, version) in enumerate(bound):
        handler = "onContinuePostLogin" if index == resume_at else "onExecutePostLogin"
        script = await script_of(services.store, tenant, version)
        steps.append((name, Step(script, handler, await secrets_of(services.store, tenant, version))))
    around = {
        "trigger": TRIGGER, "methods": METHODS[TRIGGER], "can_redirect": facts.can_redirect,
        "rules": verdict.rules, "domain": tenant.domain, "state": facts.state,
    }  # fmt: skip
    at = resume_at or 0
    while at < len(steps):
        # One that changes the event, or ends the flow, is the last of its call: the next gets a new event.
        given = [_event(tenant, facts, verdict), around]
        first = len(execution.results)
        outcomes = await run_all(
            services, tenant, steps[at:], given, execution=execution, deadline=deadline, answers=ask
        )  # fmt: skip
        for result, outcome in zip(execution.results[first:], outcomes, strict=True):
            at += 1
            if outcome.error is not None:
                if outcome.error.kind == "load" and outcome.error.type == "NoSuchFunction" and at - 1 == resume_at:
                    continue  # an action that was sent back needs no function to go on
                verdict.denied = ("access_denied", FAILED)
                return
            try:
                _take_commands(checked(TRIGGER, outcome.value), verdict, facts)
            except BadCommand as error:
                execution.status = "partial"
                result["error"] = {"id": "command", "msg": str(error), "url": ""}
                verdict.denied = ("access_denied", FAILED)
                return
            if verdict.redirect is not None:
                verdict.resume_at, execution.status = at - 1, "suspended"
                return
            if verdict.denied is not None:
                return


def _event(tenant: TenantScope, facts: Facts, verdict: Verdict) -> dict[str, Any]:
    user = {
        **{name: value for name, value in facts.user.items() if name not in {"identities", "blocked"}},
        "user_metadata": _merged(facts.user.get("user_metadata"), verdict.user_metadata),
        "app_metadata": _merged(facts.user.get("app_metadata"), verdict.app_metadata),
        "enrolledFactors": facts.enrolled_factors,
        "identities": [
            {
                "connection": identity["connection"], "provider": identity["provider"],
                "userId": identity["user_id"], "user_id": identity["user_id"],
                "isSocial": identity.get("isSocial", False),
                **({"profileData": identity["profileData"]} if "profileData" in identity else {}),
            }
            for identity in facts.user.get("identities", [])
        ],
    }  # fmt: skip
    event: dict[str, Any] = {
        "tenant": {"id": tenant.name},
        "client": facts.client,
        "connection": facts.connection,
        "user": user,
        "request": {"body": {}, "query": {}, "geoip": {}, **facts.request},
        "authentication": {"methods": facts.methods},
        "authorization": {"roles": facts.roles},
        "stats": {"logins_count": facts.logins_count},
        "transaction": {
            "protocol": facts.protocol, "requested_scopes": facts.scopes, "acr_values": [], "prompt": [],
            "ui_locales": [], **facts.transaction, "metadata": dict(verdict.transaction_metadata),
        },
    }  # fmt: skip
    if facts.audience:
        event["resource_server"] = {"identifier": facts.audience}
    if facts.session is not None:
        event["session"] = facts.session
    if facts.refresh_token is not None:
        event["refresh_token"] = facts.refresh_token
    return event


def _take_commands(commands: list[tuple[str, list[Any]]], verdict: Verdict, facts: Facts) -> None:
    """What an action asked for; a refusal does not undo what it asked for besides (Auth0 docs)."""
    for name, given in commands:
        if name == "access.deny":
            verdict.denied = ("access_denied", str((given or [""])[0] or "Access denied"))
        elif name == "validation.error":
            verdict.denied = ("access_denied", str(given[1] if len(given) > 1 else given[0] if given else "Refused"))
        elif name in _MEMBERS:
            getattr(verdict, _MEMBERS[name])[given[0]] = given[1] if len(given) > 1 else None
        elif name == "accessToken.addScope":
            if given[0] not in verdict.scopes:
                verdict.scopes.append(given[0])
        elif name == "accessToken.removeScope":
            verdict.scopes = [scope for scope in verdict.scopes if scope != given[0]]
        elif name == "redirect.sendUserTo":
            if not facts.can_redirect:
                verdict.denied = (
                    "interaction_required", "The user has to be sent to another page, which is not possible.",
                )  # fmt: skip
            else:
                query = given[1].get("query", {}) if len(given) > 1 and given[1] else {}
                verdict.redirect = _with_query(given[0], {**query, **_state(facts)})
        elif name == "multifactor.enable":
            options = given[1] if len(given) > 1 and isinstance(given[1], dict) else {}
            verdict.multifactor = None if given[:1] == ["none"] else {**options, "provider": (given or ["any"])[0]}
        elif name == "authentication.setPrimaryUser":
            verdict.primary_user = given[0]
        elif name == "authentication.recordMethod":
            verdict.recorded_methods.append(given[0])
        elif name.startswith("authentication."):
            # Whichever factor it names, the user is asked for one of those there are: never for none.
            verdict.factors.append((name.partition(".")[2], given))
            verdict.multifactor = verdict.multifactor or {"provider": "any", "allowRememberBrowser": False}
        elif name.startswith("session."):
            verdict.session.append((name.partition(".")[2], given))
        elif name.startswith("refreshToken."):
            verdict.refresh_token.append((name.partition(".")[2], given))
        if name in {"session.revoke", "refreshToken.revoke"}:
            verdict.denied = ("access_denied", str((given or [""])[0] or "Access denied"))


_MEMBERS = {
    "idToken.setCustomClaim": "id_token",
    "accessToken.setCustomClaim": "access_token",
    "user.setAppMetadata": "app_metadata",
    "user.setUserMetadata": "user_metadata",
    "transaction.setMetadata": "transaction_metadata",
}


def _merged(before: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**(before or {}), **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _state(facts: Facts) -> dict[str, str]:
    """Empty where whoever sends the user there adds it."""
    return {"state": facts.state} if facts.state else {}


def _with_query(url: str, query: Mapping[str, Any]) -> str:
    parts = urlsplit(url)
    added = urlencode({name: str(value) for name, value in query.items()})
    return urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
