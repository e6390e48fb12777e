"""The points at which actions run (Auth0 docs, "Actions Triggers"), by id and version.

The table says what the Management API lists. Which flows call a trigger is said where they do.
"""

from typing import Any, Literal, get_args

TriggerId = Literal[
    "post-login",
    "credentials-exchange",
    "pre-user-registration",
    "post-user-registration",
    "post-change-password",
    "send-phone-message",
    "password-reset-post-challenge",
    "custom-phone-provider",
    "custom-email-provider",
    "custom-token-exchange",
    "event-stream",
    "password-hash-migration",
    "login-post-identifier",
    "signup-post-identifier",
    "mcp-tool",
]
TRIGGER_IDS: tuple[str, ...] = get_args(TriggerId)

DEFAULT_RUNTIME = "node22"
RUNTIMES = ("node12", "node16", "node18", "node18-actions", "node22")
"""What an action may name; whatever it names, it runs on the Node.js that comes with the server."""
_OLD, _NEW = ("node12",), ("node18-actions", "node22")

# id, version, status, runtimes, default runtime, binding policy
_CATALOGUE: tuple[tuple[TriggerId, str, str, tuple[str, ...], str, str], ...] = (
    ("post-login", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("post-login", "v2", "DEPRECATED", ("node18", "node22"), "node16", "trigger-bound"),
    ("post-login", "v3", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("credentials-exchange", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("credentials-exchange", "v2", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("pre-user-registration", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("pre-user-registration", "v2", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("post-user-registration", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("post-user-registration", "v2", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("post-change-password", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("post-change-password", "v2", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("send-phone-message", "v1", "DEPRECATED", _OLD, "node12", "trigger-bound"),
    ("send-phone-message", "v2", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("password-reset-post-challenge", "v1", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("custom-phone-provider", "v1", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("custom-email-provider", "v1", "CURRENT", _NEW, DEFAULT_RUNTIME, "trigger-bound"),
    ("custom-token-exchange", "v1", "CURRENT", ("node18", "node22"), DEFAULT_RUNTIME, "entity-bound"),
    ("event-stream", "v1", "CURRENT", ("node22",), DEFAULT_RUNTIME, "entity-bound"),
    ("password-hash-migration", "v1", "CURRENT", ("node22",), DEFAULT_RUNTIME, "entity-bound"),
    ("mcp-tool", "v1", "CURRENT", ("node22",), DEFAULT_RUNTIME, "entity-bound"),
)
_COMPATIBLE = {("post-login", "v3"): [{"id": "post-login", "version": "v2"}]}


def catalogue() -> list[dict[str, Any]]:
    """All triggers as `GET /actions/triggers` lists them."""
    return [
        {
            "id": id_,
            "version": version,
            "status": status,
            "runtimes": list(runtimes),
            "default_runtime": default,
            "compatible_triggers": _COMPATIBLE.get((id_, version), []),
            "binding_policy": policy,
        }
        for id_, version, status, runtimes, default, policy in _CATALOGUE
    ]


def current_version(trigger: str) -> str:
    """The version an action gets that names none."""
    return next((v for id_, v, status, *_ in _CATALOGUE if id_ == trigger and status == "CURRENT"), "v1")
