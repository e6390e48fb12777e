"""freehold demo-ceremony: show the export ceremony on a small tenant."""

from typing import Annotated

import typer

from freehold.cli.demo import KeepOption, show
from freehold.cli.options import JsonOption
from freehold.demo.ceremony import Ceremony

app = typer.Typer(add_completion=False, help="Show the export ceremony: two administrators, a signed form, real gpg.")


@app.command()
def demo_ceremony(
    keep: KeepOption = None,
    users: Annotated[int, typer.Option(min=1, help="How many users the tenant has.")] = 25,
    as_json: JsonOption = False,
) -> None:
    """Password hashes, MFA secrets and private keys leave sealed, and work elsewhere.

    Ends with status 1 when a step does not come out as it should.
    """
    show(Ceremony, keep=keep, users=users, as_json=as_json)
