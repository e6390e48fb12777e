"""Custom code that a tenant brings: rules, hooks and actions. It runs in `sandbox`, never in the server."""

from freehold.domain.extensions import actions, hooks, rules
from freehold.domain.extensions.actions import ACTIONS
from freehold.domain.extensions.bindings import ACTION_BINDINGS
from freehold.domain.extensions.hooks import HOOK_SECRETS, HOOKS
from freehold.domain.extensions.rules import RULES, RULES_CONFIGS
from freehold.domain.extensions.versions import ACTION_VERSIONS
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="extensions",
    declarations=(RULES, RULES_CONFIGS, HOOKS, HOOK_SECRETS, ACTIONS, ACTION_VERSIONS, ACTION_BINDINGS),
    operations=rules.OPERATIONS + hooks.OPERATIONS + actions.OPERATIONS,
)

__all__ = [
    "ACTIONS", "ACTION_BINDINGS", "ACTION_VERSIONS", "HOOKS", "HOOK_SECRETS", "PACKAGE", "RULES", "RULES_CONFIGS",
]  # fmt: skip
