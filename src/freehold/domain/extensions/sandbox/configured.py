"""The sandbox that the operator's settings describe."""

from freehold.domain.extensions.sandbox.api import Limits
from freehold.domain.extensions.sandbox.egress import NetworkPolicy
from freehold.domain.extensions.sandbox.pool import PoolLimits
from freehold.domain.extensions.sandbox.sandbox import Sandbox
from freehold.kernel.config import Settings


def sandbox_of(settings: Settings) -> Sandbox:
    """A sandbox that starts its first process when it is first called."""
    return Sandbox(
        node=settings.sandbox_node,
        require_level=settings.sandbox_require_level,
        limits=Limits(memory_mb=settings.sandbox_memory_mb),
        pool_limits=PoolLimits(
            prestarted=settings.sandbox_prestarted,
            processes=settings.sandbox_processes,
            memory_mb=settings.sandbox_total_memory_mb,
            idle_s=settings.sandbox_idle_s,
        ),
        network=NetworkPolicy(settings.sandbox_outbound_allow, scope=settings.sandbox_outbound),
        modules_folder=settings.data.modules,
        npm_registry=settings.npm_registry,
        npm_folder=settings.npm_folder,
        cgroups=settings.sandbox_cgroups,
        cgroup_folder=settings.sandbox_cgroup_folder,
    )
