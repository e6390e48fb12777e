"""Files that commands write: whole or not at all, for their owner only; and progress on a terminal."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when the block ends well; until then, and after a crash, the old one stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        os.close(descriptor)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def archive_file(path: Path, keys: Sequence[Path] | None) -> Iterator[IO[bytes]]:
    """Where an archive is written; with keys it is encrypted on the way, so that nothing is on disk in the clear."""
    if not keys:
        with written_whole(path) as file:
            yield file
        return
    from freehold.kernel.crypto.openpgp import encrypting

    path.parent.mkdir(parents=True, exist_ok=True)
    with encrypting(path, [key.read_text() for key in keys]) as stream:
        yield stream


@contextmanager
def row_progress(title: str) -> Iterator[Callable[[str, int], None]]:
    """A callback for (what, rows so far) that draws one line per kind of data; silent when not on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _name, _rows: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description:24}"), TextColumn("{task.completed:>10,} rows"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        progress.console.print(title)
        tasks = {}

        def report(name: str, rows: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=rows)

        yield report
