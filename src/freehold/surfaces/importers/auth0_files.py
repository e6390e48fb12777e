"""What a configuration directory of Auth0's deploy CLI holds: read in both its formats, with keywords put in."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from freehold.surfaces.importers.lines import BadFile

LARGEST_FILE = 32 * 1024 * 1024

# The folders of the directory format and the keys of tenant.yaml, by the name used here.
_FOLDERS = {
    "clients": "clients",
    "resource-servers": "resourceServers",
    "database-connections": "databases",
    "connections": "connections",
    "grants": "clientGrants",
    "roles": "roles",
    "rules": "rules",
    "rules-configs": "rulesConfigs",
    "hooks": "hooks",
    "action-modules": "actionModules",
    "actions": "actions",
    "triggers": "triggers",
    "attack-protection": "attackProtection",
}
_KNOWN = frozenset({"tenant", *_FOLDERS.values()})
_PLACEHOLDER = re.compile(r"(##|@@)([A-Za-z0-9_]+)\1")


@dataclass(slots=True)
class Configuration:
    """What a directory holds, by the names of tenant.yaml."""

    root: Path
    tenant: dict[str, Any] = field(default_factory=dict)
    items: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    """Place and content of each object of a kind."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Kinds that this release does not have, and how many objects of each."""
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def file_named(self, place: str, name: str) -> str | None:
        """The text of a file that an object names, relative to the object's own file or to the whole directory."""
        root = self.root.resolve()
        for folder in ((self.root / place).parent, self.root):
            path = (folder / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                return _text(path, self.keywords, of_json=False)
        return None


def read_configuration(root: Path, keywords: Mapping[str, Any]) -> Configuration:
    """Read a directory of either format, with keywords put in. Raises BadFile."""
    if not root.is_dir():
        raise BadFile(f"{root} is not a directory")
    for name in ("tenant.yaml", "tenant.yml"):
        if (root / name).is_file():
            return _from_yaml(root, root / name, keywords)
    return _from_folders(root, keywords)


def _from_yaml(root: Path, path: Path, keywords: Mapping[str, Any]) -> Configuration:
    try:
        whole = yaml.safe_load(_text(path, keywords))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadFile(f"{path.name} line {mark.line + 1 if mark else '?'}: not YAML") from None
    if not isinstance(whole, dict):
        raise BadFile(f"{path.name}: not a mapping")
    found = Configuration(root, keywords=keywords)
    for key, value in whole.items():
        if key == "tenant":
            found.tenant = _object(value, f"{path.name} tenant")
        elif key in _KNOWN:
            listed = value if isinstance(value, list) else [value] if isinstance(value, dict) else []
            found.items[key] = [
                (f"{path.name} {key}[{n}]", _object(item, f"{path.name} {key}[{n}]")) for n, item in enumerate(listed)
            ]
        elif value:
            found.unknown[str(key)] = len(value) if isinstance(value, list) else 1
    return found


def _from_folders(root: Path, keywords: Mapping[str, Any]) -> Configuration:
    found = Configuration(root, keywords=keywords)
    for entry in sorted(root.iterdir()):
        if entry.name == "tenant.json":
            found.tenant = _object(_json(entry, keywords), entry.name)
        elif entry.name in _FOLDERS:
            kind = _FOLDERS[entry.name]
            found.items[kind] = [
                (str(path.relative_to(root)), _object(_json(path, keywords), path.name))
                for path in _files(entry, nested=kind == "databases")
            ]
        elif entry.is_dir():
            number = sum(1 for path in entry.rglob("*") if path.is_file())
            if number:
                found.unknown[entry.name] = number
        elif entry.suffix == ".json":
            found.unknown[entry.stem] = 1
    return found


def _files(folder: Path, *, nested: bool) -> Iterator[Path]:
    yield from sorted(folder.glob("*/database.json" if nested else "*.json"))
    if nested:
        yield from sorted(folder.glob("*.json"))


def _text(path: Path, keywords: Mapping[str, Any], *, of_json: bool = True) -> str:
    if path.stat().st_size > LARGEST_FILE:
        raise BadFile(f"{path.name}: larger than {LARGEST_FILE:,} bytes")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"{path.name}: not UTF-8 at byte {error.start + 1}") from None

    def put_in(match: re.Match[str]) -> str:
        if match[2] not in keywords:
            return match[0]
        value = keywords[match[2]]
        # `@@KEY@@` stands for a JSON value, `##KEY##` for text inside a string.
        if match[1] == "@@":
            return json.dumps(value)
        return json.dumps(str(value))[1:-1] if of_json else str(value)

    if keywords and of_json:
        text = text.replace('"@@', "@@").replace('@@"', "@@")
    return _PLACEHOLDER.sub(put_in, text)


def _json(path: Path, keywords: Mapping[str, Any]) -> Any:
    try:
        return json.loads(_text(path, keywords))
    except json.JSONDecodeError as error:
        raise BadFile(f"{path.name} line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise BadFile(f"{path.name}: nested too deeply") from None


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadFile(f"{place}: an object is expected")
    return value
