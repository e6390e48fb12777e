"""Draw what a demonstration prints: python -m scripts.picture_of_demo docs/images/demo.svg (or demo-ceremony.svg)

The file's name says which. It is really run; only the spinner, which a picture cannot show, is left out.
"""

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from freehold.cli import demo
from freehold.demo.ceremony import Ceremony
from freehold.demo.steps import Telling
from freehold.demo.story import Story

WIDTH = 118
KINDS: dict[str, tuple[type[Telling], int]] = {"demo": (Story, 10_000), "demo-ceremony": (Ceremony, 25)}


class NoSpinner:
    """Takes the titles that a spinner would show."""

    def update(self, _title: str) -> None:
        """Show nothing."""


class Recorder(Console):
    """A console that keeps what it prints, as a terminal shows it."""

    def __init__(self, **_options: Any) -> None:
        super().__init__(record=True, width=WIDTH, force_terminal=True, highlight=False)
        made.append(self)

    def status(self, *_arguments: Any, **_options: Any) -> Any:
        """No spinner."""
        return nullcontext(NoSpinner())


made: list[Console] = []


def main(path: Path) -> None:
    """Run it and write the picture."""
    kind, users = KINDS[path.stem]
    with patch.object(demo, "Console", Recorder):
        demo.show(kind, keep=None, users=users, as_json=False)
    picture = made[0].export_svg(title=f"freehold {path.stem}", unique_id=path.stem)
    # The picture shall not ask another server for a font.
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
