"""Runs customers' JavaScript in processes of its own, contained in layers; knows nothing of what it is for.

    outcome = await sandbox.call(tenant.id, Script("rule_1", "7", code, kind="callback"), "", [user, context])

See docs/decisions/0006-sandbox.md.
"""

from freehold.domain.extensions.sandbox.api import (
    Limits,
    LogLine,
    Outcome,
    SandboxBusy,
    SandboxUnavailable,
    Script,
    ScriptError,
    Step,
)
from freehold.domain.extensions.sandbox.egress import NetworkPolicy
from freehold.domain.extensions.sandbox.modules import ModuleSet, ModulesNotInstalled, ModuleStore, required_versions
from freehold.domain.extensions.sandbox.pool import PoolLimits
from freehold.domain.extensions.sandbox.sandbox import Sandbox
from freehold.domain.extensions.sandbox.selftest import LEVELS, PROBES, Level, Report
from freehold.domain.extensions.sandbox.visits import Visit

__all__ = [
    "LEVELS",
    "PROBES",
    "Level",
    "Limits",
    "LogLine",
    "ModuleSet",
    "ModuleStore",
    "ModulesNotInstalled",
    "NetworkPolicy",
    "Outcome",
    "PoolLimits",
    "Report",
    "Sandbox",
    "SandboxBusy",
    "SandboxUnavailable",
    "Script",
    "ScriptError",
    "Step",
    "Visit",
    "required_versions",
]
