"""freehold config: the settings, where each can be set, and what is in force."""

import typer

from freehold.kernel.config import documentation_table

app = typer.Typer(add_completion=False, help="Explain the settings.")


@app.command()
def config() -> None:
    """Print every setting with its default and meaning, as a Markdown table."""
    print(documentation_table(), end="")
