"""npm packages of a tenant's code: installed once per set, kept with their lock file, handed over from memory.

A set lies in `modules/<tenant>/<key>/`, where the key is the digest of its lock file; nothing in it is written again.
Install scripts never run, nothing is fetched from a repository, and what is native is left out. A worker does not read
these files: it gets what it needs of them in messages, so that it needs no right to open anything.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from freehold.domain.extensions.sandbox.runtime import Node
from freehold.kernel.errors import BadRequest, FreeholdError, NotFound
from freehold.kernel.log import get_logger

MAX_PACKAGES = 100
MAX_BYTES = 64 << 20
INSTALL_S = 180.0
PART_BYTES = 1 << 20
CACHED_BYTES = 128 << 20

# The grammar of the registry for new packages, and of semantic versions.
_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
_VERSION = re.compile(
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z.-]+)?"
)
_RANGE = re.compile(r"latest|[~^]?(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5}|x|\*)){0,2}|\*")
_REQUIRED = re.compile(r"""\brequire\s*\(\s*(['"`])((?:@[^'"`@/]+/)?[^'"`@/]+)@([^'"`/]+)(?:/[^'"`]*)?\1\s*\)""")
# Written for machines and readers, never loaded.
_LEFT_OUT = (".map", ".d.ts", ".d.mts", ".d.cts", ".ts", ".mts", ".cts", ".md", ".markdown", ".flow", ".node", ".html")

# Packages with a native part, and one of the same interface without.
SUBSTITUTES = {"bcrypt": "bcryptjs"}

# A package may name another one by any address or path, which npm would fetch from inside the operator's network.
_ONLY_THE_REGISTRY = ("--allow-git=none", "--allow-remote=none", "--allow-file=none", "--allow-directory=none")

log = get_logger("sandbox")


class ModulesNotInstalled(FreeholdError):
    """npm could not install a set; the message is npm's own last words."""

    status, code = 422, "modules_not_installed"


class ModuleSet(msgspec.Struct, frozen=True):
    """An installed set. `lock` is the content of its lock file, from which it can be installed again."""

    key: str
    lock: str
    specs: Mapping[str, str]


class Package(msgspec.Struct, frozen=True):
    """A set in the form in which workers get it."""

    key: str
    specs: Mapping[str, str]
    files: Sequence[tuple[str, bytes]]
    size: int

    def parts(self) -> Iterator[dict[str, Any]]:
        """The messages that carry it."""
        files: list[tuple[str, str, bool]] = []
        size = 0
        for name, content in self.files:
            for start in range(0, len(content) or 1, PART_BYTES):
                piece = content[start : start + PART_BYTES]
                files.append((name, base64.b64encode(piece).decode(), start > 0))
                size += len(piece)
                if size >= PART_BYTES:
                    yield self._message(files)
                    files, size = [], 0
        yield self._message(files)

    def _message(self, files: list[tuple[str, str, bool]]) -> dict[str, Any]:
        return {"t": "modules", "key": self.key, "specs": dict(self.specs), "files": files}


def check_name(name: str) -> str:
    """A package's name. Raises BadRequest."""
    if len(name) > 214 or not _NAME.fullmatch(name) or name in {"node_modules", "favicon.ico"}:
        raise BadRequest("This is not the name of an npm package")
    return name


def check_version(version: str) -> str:
    """An exact version, a simple range, or `latest`. Raises BadRequest."""
    if len(version) > 256 or not (_VERSION.fullmatch(version) or _RANGE.fullmatch(version)):
        raise BadRequest("This is not a version of an npm package")
    return version


def required_versions(code: str) -> list[tuple[str, str]]:
    """The packages that a script names with a version: `require('name@version')`, in order and once each."""
    found: dict[tuple[str, str], None] = {}
    for match in re.finditer(
        r"""\brequire\s*\(\s*(['"`])((?:@[^'"`@/]+/)?[^'"`@/]+)@([^'"`/]+)(?:/[^'"`]*)?\1\s*\)""", code
    ):
        name, version = match[2], match[3]
        if _NAME.fullmatch(name) and (_VERSION.fullmatch(version) or _RANGE.fullmatch(version)):
            found[name, version] = None
    return list(found)


class ModuleStore:
    """The sets of all tenants, in one folder. `registry` is the address of a mirror, `folder` one of `.tgz` files."""

    def __init__(self, root: Path, node: Node, *, registry: str = "", folder: Path | None = None) -> None:
        self._root = root
        self._node = node
        self._registry = registry
        self._folder = folder
        self._cache: OrderedDict[tuple[str, str], Package] = OrderedDict()
        self._one_at_a_time = asyncio.Semaphore(1)

    async def install(self, tenant: str, dependencies: Sequence[tuple[str, str]], *, lock: str = "") -> ModuleSet:
        """Install packages, each a name and a version, exactly as the lock says when there is one.

        Raises BadRequest or ModulesNotInstalled.
        """
        if len(dependencies) > MAX_PACKAGES:
            raise BadRequest(f"A script may name {MAX_PACKAGES} packages")
        wanted = [(check_name(name), check_version(version)) for name, version in dependencies]
        manifest = manifest_of(wanted)
        known = self._request(tenant, manifest, lock)
        with contextlib.suppress(OSError, NotFound):
            return self.find(tenant, known.read_text("ascii"))
        async with self._one_at_a_time:
            key = await self._install(tenant, manifest, lock)
        known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        known.write_text(key, "ascii")
        made = self.find(tenant, key)
        # Whoever asks for just what was made now has it.
        self._request(tenant, manifest, made.lock).write_text(key, "ascii")
        return made

    def find(self, tenant: str, key: str) -> ModuleSet:
        """A set that is installed. Raises NotFound."""
        place = self._place(tenant, key)
        try:
            lock = (place / "package-lock.json").read_text("utf-8")
            specs = json.loads((place / "specs.json").read_text("utf-8"))
        except OSError:
            raise NotFound("These npm modules are not installed") from None
        return ModuleSet(key, lock, specs)

    def package(self, tenant: str, key: str) -> Package:
        """A set as workers get it. Raises NotFound."""
        found = self._cache.get((tenant, key))
        if found is None:
            found = _read(self._place(tenant, key), key, self.find(tenant, key).specs)
            self._cache[tenant, key] = found
            while len(self._cache) > 1 and sum(package.size for package in self._cache.values()) > CACHED_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end((tenant, key))
        return found

    def remove(self, tenant: str) -> None:
        """Remove every set of a tenant."""
        for known in [known for known in self._cache if known[0] == tenant]:
            del self._cache[known]
        folder = self._tenant(tenant)
        if folder.is_dir():
            _set_writable(folder, writable=True)
            shutil.rmtree(folder)

    def _request(self, tenant: str, manifest: str, lock: str) -> Path:
        return self._tenant(tenant) / "requests" / hashlib.sha256((manifest + "\0" + lock).encode()).hexdigest()

    def _tenant(self, tenant: str) -> Path:
        # A tenant's id is not a name of ours; its digest is.
        return self._root / hashlib.sha256(tenant.encode()).hexdigest()[:32]

    def _place(self, tenant: str, key: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{32}", key):
            raise NotFound("These npm modules are not installed")
        return self._tenant(tenant) / key

    async def _install(self, tenant: str, manifest: str, lock: str) -> str:
        home = self._tenant(tenant)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
        try:
            _begin(making, manifest, lock)
            if json.loads(manifest)["dependencies"]:
                await self._run_npm("ci" if lock else "install", making)
            content, specs = _settled(making, manifest)
            key = hashlib.sha256(content.encode()).hexdigest()[:32]
            _keep(making, self._place(tenant, key), specs)
            return key
        finally:
            _discard(making)

    async def _run_npm(self, command: str, folder: Path) -> None:
        if self._node.npm is None:
            raise ModulesNotInstalled("There is no npm beside the Node.js that is used")
        with contextlib.ExitStack() as stack:
            registry = self._registry
            if self._folder is not None:
                from freehold.domain.extensions.sandbox.mirror import serve_folder  # a web server, rarely wanted

                registry = stack.enter_context(serve_folder(self._folder))
            cache = self._root / ".npm"
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            inherited = (
                "HTTPS_PROXY",
                "HTTP_PROXY",
                "NO_PROXY",
                "https_proxy",
                "http_proxy",
                "no_proxy",
                "SSL_CERT_FILE",
            )
            environment = {name: os.environ[name] for name in inherited if name in os.environ}
            if not registry:
                # The operator's own configuration of npm says where packages come from, as it does for pip.
                environment |= {
                    name: value for name, value in os.environ.items() if name.lower() == "npm_config_registry"
                }
                environment["HOME"] = os.environ.get("HOME", "/")
            else:
                environment["HOME"] = str(cache)
            options = [
                "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links", "--no-update-notifier", "--omit=dev",
                "--omit=optional", "--loglevel=error", "--git=false", f"--cache={cache}", "--prefer-offline",
                "--omit-lockfile-registry-resolved", *_ONLY_THE_REGISTRY,
                *([f"--registry={registry}"] if registry else []),
            ]  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                self._node.executable, "--use-system-ca", self._node.npm, command, *options,
                cwd=folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
            try:
                async with asyncio.timeout(INSTALL_S):
                    _, said = await process.communicate()
            except TimeoutError:
                raise ModulesNotInstalled(f"npm did not finish within {INSTALL_S:g} s") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode:
            lines = [
                line for line in said.decode(errors="replace").splitlines() if "debug-" not in line and line.strip()
            ]
            raise ModulesNotInstalled(" ".join(lines)[:500].replace(str(folder), "") or "npm failed")


def manifest_of(wanted: Sequence[tuple[str, str]]) -> str:
    """The package.json of a set. A name in two versions gets aliases; native packages get their substitute."""
    dependencies: dict[str, str] = {}
    specs: dict[str, str] = {}
    for name, version in sorted(set(wanted)):
        alias = name if name not in dependencies else f"{name.replace('/', '-').lstrip('@')}--{len(dependencies)}"
        real = SUBSTITUTES.get(name, name)
        if real != name:
            # The substitute has versions of its own.
            dependencies[alias] = f"npm:{real}@2"
        else:
            dependencies[alias] = version if alias == name else f"npm:{name}@{version}"
        specs[f"{name}@{version}"] = alias
    content = {"name": "script", "version": "1.0.0", "private": True, "dependencies": dependencies, "specs": specs}
    return json.dumps(content, sort_keys=True, indent=1)


def _begin(folder: Path, manifest: str, lock: str) -> None:
    (folder / "package.json").write_text(manifest, "utf-8")
    if lock:
        (folder / "package-lock.json").write_text(_without_addresses(lock), "utf-8")


def _without_addresses(lock: str) -> str:
    """A lock file that says what to install, not from where: that is the operator's to say. Raises BadRequest."""
    try:
        content = json.loads(lock)
        for entry in content["packages"].values():
            if entry.get("link"):
                raise BadRequest("A lock file may not name a folder")
            entry.pop("resolved", None)
        content.pop("dependencies", None)  # the same for older versions of npm, with addresses of its own
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise BadRequest("This is not a lock file of npm") from None
    return json.dumps(content, indent=2)


def _settled(folder: Path, manifest: str) -> tuple[str, dict[str, str]]:
    """The lock file's content, and where each package that was asked for lies."""
    path = folder / "package-lock.json"
    if not path.exists():
        path.write_text(json.dumps({"name": "script", "lockfileVersion": 3, "packages": {}}), "utf-8")
    content = path.read_text("utf-8")
    specs = {}
    for spec, alias in json.loads(manifest)["specs"].items():
        place = f"node_modules/{alias}"
        if not (folder / place / "package.json").is_file():
            raise ModulesNotInstalled(f"npm did not install {spec}")
        specs[spec] = place
    return content, specs


def _keep(making: Path, place: Path, specs: Mapping[str, str]) -> None:
    """Move a finished set to where it stays, unless the same is there already."""
    if place.exists():
        return
    (making / "specs.json").write_text(json.dumps(specs), "utf-8")
    shutil.rmtree(making / "node_modules" / ".bin", ignore_errors=True)
    _check_size(making)
    _set_writable(making, writable=False)
    making.chmod(0o700)  # a folder that is moved has to be writable
    making.rename(place)
    place.chmod(0o500)


def _discard(making: Path) -> None:
    if making.exists():
        _set_writable(making, writable=True)
        shutil.rmtree(making, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            if stat.S_ISREG(path.lstat().st_mode) and not name.endswith(_LEFT_OUT):
                yield path


def _check_size(folder: Path) -> None:
    if sum(path.stat().st_size for path in _files(folder / "node_modules")) > MAX_BYTES:
        raise ModulesNotInstalled(f"The packages have more than {MAX_BYTES >> 20} MB of code")


def _read(folder: Path, key: str, specs: Mapping[str, str]) -> Package:
    files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in _files(folder / "node_modules")]
    return Package(key, specs, files, sum(len(content) for _, content in files))


def _set_writable(folder: Path, *, writable: bool) -> None:
    for parent, _, names in os.walk(folder, followlinks=False, topdown=writable):
        if writable:
            Path(parent).chmod(0o700)
        for name in names:
            path = Path(parent) / name
            if not path.is_symlink():
                path.chmod(0o600 if writable else 0o400)
        if not writable:
            Path(parent).chmod(0o500)
