"""The packages of tests/js as a folder of `.tgz` files: a registry without a network."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any


def add_package(folder: Path, name: str, version: str, files: dict[str, str], **manifest: Any) -> None:
    """Write a package of our own into the folder."""
    content = {"package.json": json.dumps({"name": name, "version": version, **manifest}), **files}
    with tarfile.open(folder / f"{name.replace('/', '-')}-{version}.tgz", "w:gz") as archive:
        for path, text in content.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def add_installed(folder: Path, node_modules: Path, names: list[str]) -> None:
    """Pack installed packages and all they depend on."""
    waiting, seen = [node_modules / name for name in names], set()
    while waiting:
        place = waiting.pop()
        if place in seen or not place.is_dir():
            continue
        seen.add(place)
        manifest = json.loads((place / "package.json").read_text())
        for dependency in {**manifest.get("dependencies", {}), **manifest.get("optionalDependencies", {})}:
            nested = place / "node_modules" / dependency
            waiting.append(nested if nested.is_dir() else node_modules / dependency)
        with tarfile.open(
            folder / f"{manifest['name'].replace('/', '-')}-{manifest['version']}.tgz", "w:gz"
        ) as archive:
            archive.add(place, "package", filter=lambda entry: None if "/node_modules" in entry.name else entry)
