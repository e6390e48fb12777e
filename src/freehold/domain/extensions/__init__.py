"""Custom code that a tenant brings: rules, hooks and actions. It runs in `sandbox`, never in the server."""

from freehold.domain.extensions import (
    action_modules_api,
    actions,
    building,
    executions,
    hooks,
    points,
    recordings,
    rules,
    trials,
)
from freehold.domain.extensions.action_modules import ACTION_MODULE_VERSIONS, ACTION_MODULES
from freehold.domain.extensions.actions import ACTIONS
from freehold.domain.extensions.bindings import ACTION_BINDINGS
from freehold.domain.extensions.executions import EXECUTIONS
from freehold.domain.extensions.hooks import HOOK_SECRETS, HOOKS
from freehold.domain.extensions.npm import MODULE_SETS
from freehold.domain.extensions.rules import RULES, RULES_CONFIGS
from freehold.domain.extensions.versions import ACTION_VERSIONS
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="extensions",
    declarations=(
        RULES,
        RULES_CONFIGS,
        HOOKS,
        HOOK_SECRETS,
        ACTION_MODULES,
        ACTION_MODULE_VERSIONS,
        ACTIONS,
        ACTION_VERSIONS,
        ACTION_BINDINGS,
        MODULE_SETS,
        EXECUTIONS,
    ),
    operations=rules.OPERATIONS
    + hooks.OPERATIONS
    + action_modules_api.OPERATIONS
    + actions.OPERATIONS
    + trials.OPERATIONS
    + executions.OPERATIONS
    + recordings.OPERATIONS,
    jobs={building.TOPIC: building.build, points.TOPIC_TELL: points.run_told},
)

__all__ = [
    "ACTIONS", "ACTION_BINDINGS", "ACTION_MODULES", "ACTION_MODULE_VERSIONS", "ACTION_VERSIONS", "EXECUTIONS", "HOOKS",
    "HOOK_SECRETS", "MODULE_SETS", "PACKAGE", "RULES", "RULES_CONFIGS",
]  # fmt: skip
