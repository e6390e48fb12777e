"""freehold doctor: what this machine offers, found out by trying."""

import asyncio
import json
from typing import Any

import typer

from freehold.cli.options import DataOption, JsonOption
from freehold.domain.extensions.sandbox import PROBES, Level, Report, SandboxUnavailable
from freehold.domain.extensions.sandbox.configured import sandbox_of
from freehold.kernel.config import load_settings

app = typer.Typer(add_completion=False, help="Try what this machine offers: how well custom code is contained.")


@app.command()
def doctor(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Try the layers around custom code, and say which level they make. Ends with 1 when more is required."""
    settings = load_settings({"data_dir": data})
    try:
        report = asyncio.run(_report(settings))
    except SandboxUnavailable as error:
        print(json.dumps({"sandbox": {"level": "none", "reason": error.message}}) if as_json else error.message)
        raise typer.Exit(1) from None
    required = settings.sandbox_require_level
    lacking = report.lacking(required, cgroups=settings.sandbox_cgroups == "required")
    if as_json:
        print(json.dumps({"sandbox": _described(report, required, lacking)}, indent=1))
    else:
        _print(report, required, lacking)
    if lacking:
        raise typer.Exit(1)


async def _report(settings: Any) -> Report:
    sandbox = sandbox_of(settings)
    try:
        return await sandbox.report()
    finally:
        await sandbox.close()


def _described(report: Report, required: str, lacking: str) -> dict[str, Any]:
    found = report.found
    return {
        "level": report.level,
        "required": required,
        "lacking": lacking,
        "node": report.node,
        "layers": _layers(report),
        "reasons": found.reasons,
        "open": report.open,
    }


def _layers(report: Report) -> dict[str, bool]:
    found = report.found
    return {
        "Node's permission model": found.permission,
        "filter of system calls": found.seccomp,
        "Landlock": found.landlock > 0,
        "limits": found.rlimits,
        "namespaces": found.namespaces,
        "own file system": found.own_root,
        "a user for each process": found.own_user,
        "a control group for each process": found.cgroups,
    }


def _print(report: Report, required: Level, lacking: str) -> None:
    verdict = "enough" if not lacking else f"not enough, so that no custom code runs: {lacking}"
    print(f"Custom code: level {report.level}, {required} is required ({verdict}); Node.js {report.node}")
    for name, on in _layers(report).items():
        print(f"  {'on ' if on else 'off'} {name}")
    for layer, reason in report.found.reasons.items():
        print(f"      {layer}: {reason}")
    for name, got in report.open.items():
        print(f"  a script could {PROBES[name][1] if name in PROBES else name} ({got})")
