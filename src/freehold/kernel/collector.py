"""Python's collector of cycles, and work that is better done without it.

Bulk work makes and drops rows by the thousand, none of them in a cycle. The collector would look at each again and
again, and at all that the process holds besides: half the time of an export went there.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Leave the collector off for as long as this lasts."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
