"""A folder of `.tgz` files as npm's registry, for machines without one; there only while npm installs."""

import base64
import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

_MAX_MANIFEST = 1 << 20


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """The address of a registry that has the packages of this folder, as long as the block runs."""
    packages = _packages(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = unquote(self.path).strip("/")
            name, _, file = wanted.partition("/-/")
            versions = packages.get(name)
            if versions is None:
                self._answer(404, b"{}")
            elif file:
                found = next((path for path, _ in versions.values() if path.name == file), None)
                self._answer(200 if found else 404, found.read_bytes() if found else b"")
            else:
                self._answer(200, json.dumps(_document(name, versions, address)).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature is the library's
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{address}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _packages(folder: Path) -> dict[str, dict[str, tuple[Path, dict[str, Any]]]]:
    found: dict[str, dict[str, tuple[Path, dict[str, Any]]]] = {}
    for path in sorted(folder.rglob("*.tgz")):
        manifest = _manifest(path)
        if manifest is not None:
            found.setdefault(manifest["name"], {})[manifest["version"]] = (path, manifest)
    return found


def _manifest(path: Path) -> dict[str, Any] | None:
    """The package.json of a package; None when the file is no package."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                parts = member.name.split("/")
                if len(parts) == 2 and parts[1] == "package.json" and member.size <= _MAX_MANIFEST:
                    content = archive.extractfile(member)
                    manifest = json.loads(content.read()) if content is not None else None
                    if isinstance(manifest, dict) and {"name", "version"} <= manifest.keys():
                        return manifest
    except (OSError, tarfile.TarError, ValueError):
        return None
    return None


def _document(name: str, versions: dict[str, tuple[Path, dict[str, Any]]], base: str) -> dict[str, Any]:
    described = {}
    for version, (path, manifest) in versions.items():
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        address = f"{base}/{name}/-/{path.name}"
        described[version] = {**manifest, "dist": {"tarball": address, "integrity": f"sha512-{digest}"}}
    newest = max(versions, key=_order)
    return {"name": name, "dist-tags": {"latest": newest}, "versions": described}


def _order(version: str) -> tuple[tuple[int, ...], bool]:
    core, _, pre = version.partition("-")
    return tuple(int(part) if part.isdigit() else 0 for part in core.split("+")[0].split(".")), not pre
