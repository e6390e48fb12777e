"""freehold import: bring users and configuration from another product."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from freehold.cli.options import (
    DatabaseOption,
    DataOption,
    JsonOption,
    TenantOption,
    chosen_tenant,
    opened,
    settings_for,
)
from freehold.cli.output import written_whole
from freehold.kernel.config import Settings
from freehold.kernel.crypto.openpgp import decrypt_file, is_pgp_message
from freehold.kernel.errors import BadRequest
from freehold.surfaces.importers.auth0 import Auth0Import, Sources
from freehold.surfaces.importers.auth0 import Progress as Callback
from freehold.surfaces.importers.report import Report

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Bring users and configuration from another product."
)

FilesOption = list[Path] | None


@app.callback()
def import_() -> None:
    """Bring users and configuration from another product."""


@app.command()
def auth0(
    users: Annotated[FilesOption, typer.Option(help="User export: NDJSON, JSON or CSV, gzip or not.")] = None,
    hashes: Annotated[FilesOption, typer.Option(help="Password hashes (NDJSON), plain or OpenPGP.")] = None,
    mfa: Annotated[FilesOption, typer.Option(help="MFA secrets (NDJSON), plain or OpenPGP.")] = None,
    config: Annotated[Path | None, typer.Option(help="Directory that Auth0's deploy CLI wrote.")] = None,
    signing_key: Annotated[list[str] | None, typer.Option(help="KID=FILE: a private signing key, PEM.")] = None,
    connection: Annotated[list[str] | None, typer.Option(help="OLD=NEW: rename a connection on the way.")] = None,
    keywords: Annotated[Path | None, typer.Option(help="JSON: what stands for ##KEY## and @@KEY@@.")] = None,
    pgp_key: Annotated[Path | None, typer.Option(help="Secret key file for encrypted files.")] = None,
    pgp_passphrase_file: Annotated[Path | None, typer.Option(help="File with that key's passphrase.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and join everything, write nothing.")] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Go on without configuration that this release does not have.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the whole report here, as JSON.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    tenant: TenantOption = None,
    data: DataOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what Auth0 gives: users, password hashes, MFA secrets, configuration, signing keys.

    Everything is read and joined first, and nothing is written if a file is damaged. Ids, secrets and key ids stay the
    same. Running it again completes an import that was interrupted, and changes nothing otherwise.
    """

    async def run() -> None:
        if not (users or hashes or mfa or config or signing_key):
            raise BadRequest("Say what to import: --users, --hashes, --mfa, --config or --signing-key.")
        settings = settings_for(data, database)
        async with opened(settings) as installation:
            scope = await chosen_tenant(installation, tenant)
            with readable(settings, pgp_key, pgp_passphrase_file, [*(hashes or ()), *(mfa or ())]) as plain:
                sources = Sources(
                    users=tuple(users or ()),
                    hashes=tuple(plain[path] for path in hashes or ()),
                    factors=tuple(plain[path] for path in mfa or ()),
                    config=config,
                    signing_keys={kid: Path(file) for kid, file in _pairs(signing_key, "--signing-key KID=FILE")},
                    connections=dict(_pairs(connection, "--connection OLD=NEW")),
                    keywords=_keywords(keywords) if keywords else {},
                )
                with _bar() as progress:
                    work = Auth0Import(installation.store, scope, sources, progress, temporary=settings.data.temporary)
                    found = await work.check(look=dry_run or not yes)
                if dry_run:
                    _show(found, report, as_json)
                    return
                unknown = found.found().get("resource_unknown", 0)
                if unknown and not skip_unknown:
                    _show(found, report, as_json)
                    raise BadRequest("There is configuration that this release does not have; see --skip-unknown.")
                if not yes:
                    _show(found, None, as_json)
                    if not typer.confirm("Import this?", err=True):
                        raise BadRequest("Nothing was written.")
                with _bar(found.number("users", "read") or None) as progress:
                    work.progress = progress
                    found = await work.write()
                async with installation.store.transaction() as tx:
                    await scope.events.record(
                        tx, scope, "sapi", description="The operator imported a tenant of Auth0's", details=_told(found)
                    )
                _show(found, report, as_json)

    asyncio.run(run())


def _keywords(path: Path) -> dict[str, Any]:
    """What stands for the keywords of a configuration. Raises BadRequest for a file that is no JSON object."""
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f'{path} must be a JSON object, {{"KEY": "value"}}.')
    return found


@contextmanager
def readable(
    settings: Settings, key: Path | None, passphrase_file: Path | None, paths: list[Path]
) -> Iterator[dict[Path, Path]]:
    """Where to read each file in clear: the file itself, or a decrypted copy that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=settings.data.temporary) as folder:
        plain = {}
        for number, path in enumerate(paths):
            try:
                with path.open("rb") as file:
                    encrypted = is_pgp_message(file.read(64))
            except OSError as error:
                raise BadRequest(f"{path} cannot be opened: {error.strerror}") from None
            plain[path] = path
            if encrypted:
                if key is None:
                    raise BadRequest(f"{path.name} is encrypted; say --pgp-key FILE.")
                passphrase = passphrase_file.read_text().rstrip("\n") if passphrase_file else None
                inner = Path(folder) / str(number)
                inner.mkdir()
                plain[path] = inner / path.stem
                decrypt_file(path, plain[path], key, passphrase)
        yield plain


def _pairs(given: list[str] | None, form: str) -> list[tuple[str, str]]:
    pairs = []
    for text in given or ():
        left, equals, right = text.partition("=")
        if not (left and equals and right):
            raise BadRequest(f"{form} is expected, not {text[:60]}")
        pairs.append((left, right))
    return pairs


def _told(found: Report) -> dict[str, Any]:
    """What the tenant's log says of an import: how many of what, and nothing of whom."""
    summary = found.summary()
    return {"counts": summary["counts"], "found": summary["found"]}


def _show(found: Report, path: Path | None, as_json: bool) -> None:
    if path is not None:
        with written_whole(path) as file:
            found.write_json(file)
    if as_json:
        print(json.dumps(found.summary()))
        return
    print("Dry run: nothing was written." if found.dry_run else f"Imported into {found.tenant}.")
    for line in found.lines():
        print(line)
    print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in found.seconds.items()))


@contextmanager
def _bar(total: int | None = None) -> Iterator[Callback]:
    """Draws rows and rate on a terminal; silent elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _what, _rows: None
        return
    rate = TextColumn("{task.fields[rate]:>12}")
    columns: list[Any] = [TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), rate]
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, rows: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total, rate="")
            speed = progress.tasks[tasks[what]].speed
            progress.update(tasks[what], completed=rows, rate=f"{speed:,.0f}/s" if speed else "")

        yield tell
