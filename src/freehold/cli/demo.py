"""freehold demo: show the whole promise in a minute."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from freehold.cli.options import JsonOption
from freehold.demo.steps import NotTrue, Step, Telling
from freehold.demo.story import Story

app = typer.Typer(add_completion=False, help="Show the whole promise in a minute: arrive, sign in, leave, restore.")

KeepOption = Annotated[Path | None, typer.Option(help="Do it in this folder and leave everything there.")]


@app.command()
def demo(
    keep: KeepOption = None,
    users: Annotated[int, typer.Option(min=1, help="How many users the export has.")] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """An Auth0 export goes in, somebody signs in, everything comes out and works elsewhere.

    Ends with status 1 when a step does not come out as it should.
    """
    show(Story, keep=keep, users=users, as_json=as_json)


def show(kind: type[Telling], *, keep: Path | None, users: int, as_json: bool) -> None:
    """Run a demonstration and print each step with its time; the exit status says whether all of it came out."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    started = time.perf_counter()
    with _folder(keep) as folder, console.status("") as status:

        def tell(step: Step) -> None:
            console.print(
                f"[green]{'✓' if console.is_terminal else 'ok'}[/] [bold]{step.title}[/]  {step.seconds:.1f} s"
            )
            console.print(f"  [dim]{escape(step.detail)}[/]", markup=True)

        telling = kind(folder, users, tell, begin=lambda title: status.update(f"{title} ..."))
        failure = ""
        try:
            telling.run()
        except NotTrue as error:
            failure = str(error)
    seconds = time.perf_counter() - started
    if as_json:
        steps = [{"title": s.title, "detail": s.detail, "seconds": round(s.seconds, 3)} for s in telling.steps]
        print(json.dumps({"ok": not failure, "failure": failure, "seconds": round(seconds, 3), "steps": steps}))
    elif failure:
        console.print(f"[bold red]{'✗' if console.is_terminal else 'FAILED'}[/] {escape(failure)}", markup=True)
    else:
        console.print(f"\nEverything came out as it should, in {seconds:.0f} s.")
        if keep:
            console.print(f"It is all in {keep}.")
    if failure:
        raise typer.Exit(1)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="freehold-demo-") as folder:
        yield Path(folder)
