"""npm packages that a tenant's code names: installed once for each set of names and versions.

The lock file of a set is kept with the tenant's data, so that a restored tenant installs the very same packages.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from freehold.domain.extensions.sandbox import Sandbox, required_versions
from freehold.kernel import log
from freehold.kernel.declare import Stored, TenantScope
from freehold.kernel.errors import FreeholdError
from freehold.kernel.store import Store
from freehold.kernel.store.schema import Column, Table

_log = log.get_logger("extensions")

MODULE_SETS = Stored(
    table=Table(
        "module_sets",
        (
            Column("tenant_id", "text"),
            Column("digest", "text"),
            Column("packages", "text"),
            Column("lock_file", "text"),
            Column("created_at_ms", "bigint"),
        ),
        key=("tenant_id", "digest"),
    ),
    json_columns=frozenset({"packages"}),
)

GLOBALS: Mapping[str, str] = {
    "async": "async@2.1.2",
    "_": "lodash@4",
    "Q": "q@1",
    "bcrypt": "bcrypt@5",
    "ip": "ip@1",
    "jwt": "jsonwebtoken@9",
    "knex": "knex@0.95.15",
    "Knex": "knex@0.95.15",
    "mysql": "mysql@2",
    "pbkdf2": "pbkdf2@3",
    "pg": "pg@8",
    "postgres": "pg@8",
    "request": "request@2",
    "sqlserver": "tedious@18",
    "uuid": "uuid@3",
    "xml2js": "xml2js@0.6.2",
    "xmldom": "xmldom@0.6.0",
    "xpath": "xpath@0.0.34",
    "xtend": "xtend@4",
    "mongo": "mongodb@4",
    "mongodb": "mongodb@4",
}
"""Names that Auth0's rules found as globals, and the package that each is; it is fetched when a script uses it."""
NODE_GLOBALS: Mapping[str, str] = {"crypto": "crypto", "querystring": "querystring"}

_REQUIRED = re.compile(r"""\brequire\s*\(\s*(['"`])((?:@[\w~.-]+/)?[\w~.-]+)\1\s*\)""")
_BUILT_IN = frozenset({
    "assert", "async_hooks", "buffer", "child_process", "cluster", "constants", "crypto", "dgram",
    "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net",
    "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder",
    "sys", "timers", "tls", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
})  # fmt: skip
_PINNED = dict(package.rsplit("@", 1) for package in GLOBALS.values())


def globals_in(code: str) -> dict[str, str]:
    """The global names that a script uses, each with what is required for it."""
    return {
        name: request
        for name, request in {**GLOBALS, **NODE_GLOBALS}.items()
        if re.search(rf"(?<![\w$.'\"]){re.escape(name)}\s*[.(\[]", code)
        and not re.search(rf"\b(?:var|let|const|function)\s+{re.escape(name)}\b", code)
    }


def packages_in(code: str) -> list[tuple[str, str]]:
    """The packages that a script needs: by `require('name@version')`, by `require('name')`, or as a global."""
    found = dict.fromkeys(required_versions(code))
    for _, name in _REQUIRED.findall(code):
        if name not in _BUILT_IN and "@" not in name.lstrip("@"):
            found[name, _PINNED.get(name, "latest")] = None
    for request in globals_in(code).values():
        if "@" in request:
            name, version = request.rsplit("@", 1)
            found[name, version] = None
    return list(found)


async def installed(services: Any, tenant: TenantScope, packages: Sequence[tuple[str, str]]) -> str:
    """The key of an installed set, '' for no packages. Installs it first where it is not there.

    Raises BadRequest for names that are none, ModulesNotInstalled with npm's words, SandboxUnavailable.
    """
    if not packages:
        return ""
    store: Store = services.store
    sandbox: Sandbox = services.sandbox
    listed = msgspec.json.encode(sorted(set(packages))).decode()
    digest = hashlib.sha256(listed.encode()).hexdigest()
    entries = tenant.cached(store.cache_epoch(tenant.id))
    key = entries.get(("module set", digest))
    if key is not None:
        return str(key)
    row = await store.one(
        "select lock_file from module_sets where tenant_id = :tenant_id and digest = :digest",
        tenant_id=tenant.id, digest=digest,
    )  # fmt: skip
    found = await sandbox.modules.install(tenant.id, packages, lock=row[0] if row else "")
    if row is None:
        async with store.transaction() as tx:
            await tx.run(
                """insert into module_sets (tenant_id, digest, packages, lock_file, created_at_ms)
                values (:tenant_id, :digest, :packages, :lock_file, :now)
                on conflict (tenant_id, digest) do nothing""",
                tenant_id=tenant.id, digest=digest, packages=listed, lock_file=found.lock, now=tenant.clock.now_ms(),
            )  # fmt: skip
    entries[("module set", digest)] = found.key
    return found.key


async def installed_for(services: Any, tenant: TenantScope, code: str) -> str:
    """The set of a script without a list of dependencies. What cannot be installed, it will not find."""
    try:
        return await installed(services, tenant, packages_in(code))
    except FreeholdError as error:
        _log.warning("modules_not_installed", reason=error.message)
    return ""
