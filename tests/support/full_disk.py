"""A disk that is full, for the processes that a test starts."""

import asyncio
import resource
import signal
from collections.abc import Callable

import pytest


@pytest.fixture
def limit_of_file_size(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how large a file new processes may write; a write beyond fails as on a full disk."""
    honest = asyncio.create_subprocess_exec

    def limit(size: int) -> None:
        async def limited(*arguments: str, **options: object) -> asyncio.subprocess.Process:
            def before() -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

            return await honest(*arguments, preexec_fn=before, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", limited)

    return limit
