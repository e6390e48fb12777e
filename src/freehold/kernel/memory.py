"""Memory that holds secrets stays where it is: no core dump, and no debugger of another process of this user.

What a process is told here its forks keep; a program it starts has to say so again.
"""

import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Have the kernel write nothing of this process anywhere when it crashes, and let nobody look inside."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A limit alone does not hold where the kernel hands dumps to a program.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
