"""Custom code as plain npm packages that run on Node.js alone, with what was recorded of them as tests.

A package has the code as it is, the names of its npm packages, and a shim: the files that put the server's sandbox
around a script, but for its walls. No value of a secret is in it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.extensions.commands import METHODS
from freehold.domain.extensions.executions import Record as Recorded
from freehold.domain.extensions.executions import records_of
from freehold.domain.extensions.pieces import Piece, all_pieces, secret_names
from freehold.domain.extensions.sandbox.auth0_globals import globals_named_in
from freehold.domain.extensions.sandbox.modules import manifest_of
from freehold.domain.extensions.sandbox.runtime import WORKER
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

MOST_EXECUTIONS = 20
_SHIM = (
    "classes.cjs",
    "stand-ins/rule-utilities.cjs",
    *(f"kinds/{name}.cjs" for name in ("action", "module", "rule", "hook", "script", "callback")),
)
_INDEX = """'use strict';
// { run, masked, about }: see the README two folders up.
module.exports = require('./shim/outside.cjs').open(__dirname);
"""
_TEST = "'use strict';\nrequire('./shim/outside.cjs').testAll(__dirname);\n"


class Package(msgspec.Struct, frozen=True):
    """A piece of code as a package: where it lies, its files, and how many executions are among them."""

    piece: Piece
    place: str
    files: Mapping[str, str]
    executions: int


async def packages(store: Store, tenant: TenantScope, *, most: int = MOST_EXECUTIONS) -> list[Package]:
    """All code of a tenant."""
    recorded = await records_of(store, tenant)
    found, taken = [], set[str]()
    for piece in await all_pieces(store, tenant):
        place = _place(piece, taken)
        known = _executions(piece, recorded, most)
        files = {**_files(piece, place, known), **await _lock(store, tenant, piece)}
        found.append(Package(piece, place, files, len(known)))
    return found


def write(folder: Path, found: Iterable[Package]) -> None:
    """Write packages below a folder, each with the shim that it runs in."""
    shim = {f"shim/{name}": (WORKER / name).read_text("utf-8") for name in _SHIM}
    shim["shim/outside.cjs"] = (WORKER / "outside" / "outside.cjs").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text((WORKER / "outside" / "README.md").read_text("utf-8"), "utf-8")
    for package in found:
        for name, content in {**shim, **package.files}.items():
            path = folder / package.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")


def _place(piece: Piece, taken: set[str]) -> str:
    """`actions/add-claims`; a second one of that name gets a number."""
    slug = re.sub(r"[^a-z0-9]+", "-", piece.name.lower()).strip("-")[:100] or "unnamed"
    place, number = f"{piece.kind}/{slug}", 1
    while place in taken:
        number += 1
        place = f"{piece.kind}/{slug}-{number}"
    taken.add(place)
    return place


def _files(piece: Piece, place: str, known: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    shared = {name: f"modules/{number}.js" for number, name in enumerate(sorted(piece.shared), 1)}
    files = {shared[name]: code for name, code in piece.shared.items()}
    wanted = json.loads(manifest_of(piece.packages))
    about: dict[str, Any] = {"kind": piece.shape, "trigger": piece.trigger, "secrets": secret_names(piece)}
    about |= {"specs": wanted["specs"]} if wanted["specs"] else {}
    about |= {"shared": shared} if shared else {}
    if piece.kind == "actions":
        about["secrets"] = sorted(piece.secrets)
        about["around"] = {"trigger": piece.trigger, "methods": METHODS.get(piece.trigger, ()), "rules": []}
    else:
        about["globals"] = dict(globals_named_in(piece.code).globals)
    package = {
        "name": place.replace("/", "-"), "version": "1.0.0", "private": True, "main": "index.cjs",
        "description": f"{piece.name}, as it ran at {piece.trigger}", "engines": {"node": ">=20.19"},
        "scripts": {"test": "node --test"}, "dependencies": wanted["dependencies"], "freehold": about,
    }  # fmt: skip
    return {
        **files, "code.js": piece.code, "index.cjs": _INDEX, "executions.test.cjs": _TEST,
        "package.json": json.dumps(package, indent=2, ensure_ascii=False) + "\n",
        "executions.json": json.dumps(known, indent=1, ensure_ascii=False) + "\n",
    }  # fmt: skip


async def _lock(store: Store, tenant: TenantScope, piece: Piece) -> dict[str, str]:
    """The lock file with which the packages were installed here, if they were."""
    listed = msgspec.json.encode(sorted(set(piece.packages)))
    row = await store.one(
        "select lock_file from module_sets where tenant_id = :tenant_id and digest = :digest",
        tenant_id=tenant.id, digest=hashlib.sha256(listed).hexdigest(),
    )  # fmt: skip
    return {"package-lock.json": row[0]} if row is not None and piece.packages else {}


def _executions(piece: Piece, recorded: Iterable[Recorded], most: int) -> list[dict[str, Any]]:
    """What this very code did, the latest first, each as a test: with a reason where it cannot be one."""
    found: list[dict[str, Any]] = []
    for record in recorded:
        for result in record.results:
            ran = result.get("script") or {}
            if (ran.get("id"), ran.get("code")) != (piece.id, piece.digest) or len(found) == most:
                continue
            test = {"execution": record.id, "function": ran.get("function", ""), "started_at": result["started_at"],
                    "given": result.get("given")}  # fmt: skip
            error = result.get("error")
            if error is None:
                test["answered"] = result.get("answered")
            else:
                test["error"] = error["msg"]
            reason = _not_a_test(result)
            found.append({**test, "skip": reason} if reason else test)
    return found


def _not_a_test(result: Mapping[str, Any]) -> str:
    if result.get("given") is None:
        return "what went in was too large to be recorded"
    if result.get("cut"):
        return "what came out was too large to be recorded"
    error = result.get("error")
    if error is not None and error["id"] != "script":
        return f"the sandbox ended it: {error['id']}"
    return ""
