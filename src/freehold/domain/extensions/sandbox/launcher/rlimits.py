"""L3: limits that the kernel counts. They are set as hard limits, so nothing can raise them again."""

import resource
from dataclasses import dataclass

from . import system

OPEN_FILES = 64
THREADS = 48
CPU_S = 3_600  # a process never gets this old busy; the server watches the time of each call

# What counts beside the heap and the buffers of a script: 512 MB that V8 sets aside for machine code and hardly uses,
# stacks of threads, the runtime's own.
OVERHEAD_BYTES = 640 << 20


@dataclass(frozen=True)
class Quota:
    """What one process gets; `own_user` says that no other process has its user, so that threads can be counted."""

    memory_bytes: int
    own_user: bool


def impose(quota: Quota) -> None:
    """Limit this process for good. Raises OSError or ValueError."""
    # Memory that can be written and is the process's own. The address space as such cannot be limited: V8 reserves
    # far more of it than it ever uses.
    _hard(resource.RLIMIT_DATA, quota.memory_bytes + OVERHEAD_BYTES)
    _hard(resource.RLIMIT_CORE, 0)
    _hard(resource.RLIMIT_FSIZE, 0)
    _hard(resource.RLIMIT_CPU, CPU_S)
    _hard(resource.RLIMIT_NOFILE, OPEN_FILES)
    _hard(resource.RLIMIT_MEMLOCK, 0)
    if quota.own_user:
        _hard(resource.RLIMIT_NPROC, THREADS)
    if system.LINUX:
        _hard(resource.RLIMIT_MSGQUEUE, 0)


def _hard(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
