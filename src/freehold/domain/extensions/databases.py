"""Scripts of custom databases (Auth0 docs, "Custom Database Connections"): the customer's own database is asked.

Each script is a function with a callback, run with the connection's `configuration` and nothing else. What it answers
is foreign: a profile is taken apart member by member, and an answer of the wrong form is a failure of the script.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from freehold.domain.connections import configuration
from freehold.domain.extensions.executions import Execution, keep
from freehold.domain.extensions.running import Deadline, legacy_script, run
from freehold.domain.extensions.sandbox import Outcome, ScriptError
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store

ScriptName = Literal[
    "login", "get_user", "create", "verify", "change_password", "delete", "change_username", "change_email",
    "change_phone_number",
]  # fmt: skip
_TEXTS = ("email", "username", "name", "nickname", "given_name", "family_name", "picture", "phone_number")
PROFILE = (*_TEXTS, "email_verified", "phone_verified", "user_metadata", "app_metadata")
REFUSALS = frozenset({"WrongUsernameOrPasswordError", "ValidationError", "UnauthorizedError"})
"""What a script throws to say no, and not because something went wrong."""
TOKENS = ("access_token", "refresh_token", "id_token")
LONGEST_ID, LONGEST_TEXT = 1024, 2048
FAILED = "Something went wrong on our side. Please try again later."


class ScriptFailed(FreeholdError):
    """A script threw, did not answer in time, or answered what cannot be; the message is for the person."""

    status, code = 400, "custom_script_error"


class ScriptMissing(ScriptFailed):
    """The connection has no such script, and what was asked for needs it."""


class ScriptRefused(ScriptFailed):
    """A script refused with an error of its own: a code such as `user_exists`, and words for the person."""


class ExternalUser(msgspec.Struct, frozen=True):
    """A user as a script answered them."""

    id: str
    """What stands behind `auth0|`."""
    profile: dict[str, Any] = msgspec.field(default_factory=dict)
    factors: tuple[Mapping[str, Mapping[str, Any]], ...] = ()
    tokens: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Of a provider or a database of the tenant's own; they are sealed, and in no record."""
    others: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """Further attributes, of a provider's users."""


class Tried(msgspec.Struct, frozen=True):
    """How a script ran that was only tried, and the first value that it answered."""

    outcome: Outcome
    answered: Any = None


def has_script(options: Mapping[str, Any], name: ScriptName) -> bool:
    """Whether a connection's options have a script."""
    return bool((options.get("customScripts") or {}).get(name))


async def log_in(
    services: Any, tenant: TenantScope, database: Any, identifier: str, password: str
) -> ExternalUser | None:
    """Ask `login`; None is a wrong name or password. Raises ScriptFailed."""
    answered, error = await _ask(services, tenant, database, "login", [identifier, password], hidden=[password])
    if error is not None:
        if error.type == "WrongUsernameOrPasswordError":
            return None
        raise _failure(error)
    return user_of(answered[0] if answered else None)


async def find_user(services: Any, tenant: TenantScope, database: Any, identifier: str) -> ExternalUser | None:
    """Ask `get_user`; None is nobody. Raises ScriptFailed."""
    answered, error = await _ask(services, tenant, database, "get_user", [identifier])
    if error is not None:
        raise _failure(error)
    return user_of(answered[0] if answered else None)


async def tell_script(
    services: Any, tenant: TenantScope, database: Any, name: ScriptName, given: Sequence[Any], *,
    hidden: Sequence[str] = (),
) -> Any:  # fmt: skip
    """Ask a script that changes something; its first value. Raises ScriptFailed, ScriptRefused, ScriptMissing."""
    answered, error = await _ask(services, tenant, database, name, given, hidden=hidden)
    if error is not None:
        raise _failure(error)
    return answered[0] if answered else None


async def try_script(
    services: Any, tenant: TenantScope, database: Any, name: ScriptName, given: Sequence[Any], *, code: str = ""
) -> Tried:
    """Run a script once for whoever writes it, or `code` in its place; nothing is stored. Raises ScriptMissing."""
    outcome, _ = await _run(services, tenant, database, name, given, code=code)
    values = outcome.value if outcome.error is None and isinstance(outcome.value, list) else []
    return Tried(outcome, values[0] if values else None)


async def _ask(
    services: Any, tenant: TenantScope, database: Any, name: ScriptName, given: Sequence[Any], *,
    hidden: Sequence[str] = (),
) -> tuple[list[Any], ScriptError | None]:  # fmt: skip
    outcome, execution = await _run(services, tenant, database, name, given, hidden=hidden)
    await keep(services.store, tenant, execution)
    if outcome.error is not None:
        return [], outcome.error
    return (outcome.value if isinstance(outcome.value, list) else []), None


async def _run(
    services: Any, tenant: TenantScope, database: Any, name: ScriptName, given: Sequence[Any], *,
    hidden: Sequence[str] = (), code: str = "",
) -> tuple[Outcome, Execution]:  # fmt: skip
    options: Mapping[str, Any] = database.options
    code = code or (options.get("customScripts") or {}).get(name) or ""
    if not code:
        raise ScriptMissing(f"Please implement the {name} script for this database connection.")
    script = await legacy_script(services, tenant, f"{database.id}/{name}", code, "script")
    execution = Execution(f"database-{name}", tenant.clock.now_ms())
    arguments = [*given, {}] if options.get("enable_script_context") else list(given)
    outcome = await run(
        services, tenant, script, "", arguments, name=f"{database.name}: {name}", execution=execution,
        deadline=Deadline(), secret_values=await _configuration(services.store, tenant, database.id), hidden=hidden,
    )  # fmt: skip
    execution.hide_members(TOKENS)
    return outcome, execution


async def _configuration(store: Store, tenant: TenantScope, connection_id: str) -> Mapping[str, str]:
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = ("configuration of connection", connection_id)
    if key not in entries:
        entries[key] = await configuration.values(store, tenant, connection_id)
    found: Mapping[str, str] = entries[key]
    return found


def user_of(answered: Any, *, prefix: str = "auth0|") -> ExternalUser | None:
    """A profile as a script gave it; an id may come with the `prefix`. Raises ScriptFailed for one without an id."""
    if not answered:
        return None
    if not isinstance(answered, dict):
        raise ScriptFailed(FAILED)
    id_ = answered.get("user_id", answered.get("id"))
    if isinstance(id_, int) and not isinstance(id_, bool):
        id_ = str(id_)
    id_ = id_.removeprefix(prefix) if isinstance(id_, str) else None
    if id_ is None or not 0 < len(id_) <= LONGEST_ID or not id_.isprintable():
        raise ScriptFailed(FAILED)
    profile: dict[str, Any] = {}
    for name in _TEXTS:
        value = answered.get(name)
        if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable():
            profile[name] = value
    for name in ("email_verified", "phone_verified"):
        if isinstance(answered.get(name), bool):
            profile[name] = answered[name]
    metadata = {"user_metadata": answered.get("user_metadata"), "app_metadata": answered.get("app_metadata")}
    metadata["app_metadata"] = metadata["app_metadata"] or answered.get("metadata")
    profile |= {name: value for name, value in metadata.items() if isinstance(value, dict)}
    factors = answered.get("mfa_factors")
    kept = tuple(each for each in factors if isinstance(each, dict)) if isinstance(factors, list) else ()
    tokens = {name: answered[name] for name in TOKENS if isinstance(answered.get(name), str)}
    return ExternalUser(id_, profile, kept, tokens)


def _failure(error: ScriptError) -> ScriptFailed:
    if error.type == "UnauthorizedError":
        return ScriptRefused(error.message or FAILED, code="unauthorized")
    if error.type == "ValidationError":
        code = error.details.get("code")
        return ScriptRefused(error.message or FAILED, code=code if isinstance(code, str) else "invalid_user")
    return ScriptFailed(FAILED)
