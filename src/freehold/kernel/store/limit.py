"""A transaction's time limit: a body that waits for something else would hold up everybody's writes."""

import asyncio
from types import TracebackType


async def stop_limit(
    limit: asyncio.Timeout,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> bool:
    """End a limit that was entered; whether it was what ended the body."""
    try:
        await limit.__aexit__(kind, error, trace)
    except TimeoutError:
        return True
    return False
