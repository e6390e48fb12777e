"""npm packages that a tenant's code names: installed once for each set of names and versions.

The lock file of a set is kept with the tenant's data, so that a restored tenant installs the very same packages.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from freehold.domain.extensions.sandbox import Sandbox, required_versions
from freehold.domain.extensions.sandbox.auth0_globals import READ_SCRIPTS, VERSIONS, globals_named_in
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

_REQUIRED = re.compile(r"""\brequire\s*\(\s*(['"`])((?:@[\w~.-]+/)?[\w~-][\w~.-]*)(?:/[\w~./-]*)?\1\s*\)""")
_BUILT_IN = frozenset({
    "assert", "async_hooks", "buffer", "child_process", "cluster", "constants", "crypto", "dgram",
    "diagnostics_channel", "dns", "domain", "events", "fs", "http", "http2", "https", "inspector", "module", "net",
    "os", "path", "perf_hooks", "process", "punycode", "querystring", "readline", "repl", "stream", "string_decoder",
    "sys", "timers", "tls", "tty", "url", "util", "v8", "vm", "wasi", "worker_threads", "zlib",
})  # fmt: skip
_STAND_INS = frozenset({"@auth0/rule-utilities"})
# Not to be had from npm any more; the worker has something of ours in their place (`worker/stand-ins`).
AGAIN_MS = 300_000
"""What could not be installed is tried again after this."""


@lru_cache(maxsize=READ_SCRIPTS)
def packages_in(code: str) -> tuple[tuple[str, str], ...]:
    """The packages that a script needs: by `require('name@version')`, by `require('name')`, or as a global."""
    found = dict.fromkeys(required_versions(code))
    for _, name in _REQUIRED.findall(code):
        if name.removeprefix("node:") not in _BUILT_IN and name not in {known for known, _ in found}:
            found[name, VERSIONS.get(name, "latest")] = None
    for package in globals_named_in(code).packages:
        found[package] = None
    return tuple(package for package in found if package[0] not in _STAND_INS)


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
    wanted = packages_in(code)
    entries = tenant.cached(services.store.cache_epoch(tenant.id))
    key = ("packages that failed", wanted)
    known, until_ms = entries.get(key, ("", 0))
    if tenant.clock.now_ms() < until_ms:
        return str(known)
    try:
        return await installed(services, tenant, wanted)
    except FreeholdError as error:
        _log.warning("modules_not_installed", reason=error.message)
    # One name that is not to be had takes no other from the script; nor does each sign-in try it again.
    having = [each for each in wanted if await _is_there(services, tenant, each)] if len(wanted) > 1 else []
    try:
        found = await installed(services, tenant, having)
    except FreeholdError:
        found = ""  # they cannot be had together
    entries[key] = (found, tenant.clock.now_ms() + AGAIN_MS)
    return found


async def _is_there(services: Any, tenant: TenantScope, package: tuple[str, str]) -> bool:
    try:
        await services.sandbox.modules.install(tenant.id, [package])
    except FreeholdError:
        return False
    return True
